//! Where bytes of telemetry come from: a serial port, a pipe, a file, standard input.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

/// Opens the source; a serial port is set to raw bytes at `baud`.
pub(super) fn open(path: &Path, baud: u32) -> io::Result<Box<dyn Read>> {
    if path.as_os_str() == "-" {
        return Ok(Box::new(io::stdin().lock()));
    }
    let file = open_file(path)?;
    set_raw(&file, baud)?;
    Ok(Box::new(file))
}

/// Bytes both ways.
pub(super) trait Stream: Read + Write {}

impl<S: Read + Write> Stream for S {}

/// Opens a serial port (set to raw bytes at `baud`) or a Unix socket for both ways.
pub(super) fn open_both(path: &Path, baud: u32) -> io::Result<Box<dyn Stream>> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::FileTypeExt;
        if std::fs::metadata(path)?.file_type().is_socket() {
            let stream = std::os::unix::net::UnixStream::connect(path)?;
            stream.set_read_timeout(Some(std::time::Duration::from_secs(20)))?;
            return Ok(Box::new(stream));
        }
    }
    let file = open_for(path, true)?;
    set_raw(&file, baud)?;
    Ok(Box::new(file))
}

fn open_file(path: &Path) -> io::Result<File> {
    open_for(path, false)
}

#[cfg(unix)]
fn open_for(path: &Path, writing: bool) -> io::Result<File> {
    use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};

    use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};

    if !std::fs::metadata(path)?.file_type().is_char_device() {
        return File::options().read(true).write(writing).open(path);
    }
    // Without waiting for a carrier, and without making it the terminal that sends us signals.
    let flags = OFlags::NOCTTY | OFlags::NONBLOCK;
    let file = File::options()
        .read(true)
        .write(writing)
        .custom_flags(flags.bits().cast_signed())
        .open(path)?;
    fcntl_setfl(&file, fcntl_getfl(&file)? - OFlags::NONBLOCK)?;
    Ok(file)
}

/// Every byte as it comes: no echo, no line editing, no translation.
#[cfg(unix)]
fn set_raw(file: &File, baud: u32) -> io::Result<()> {
    use rustix::termios::{ControlModes, OptionalActions, isatty, tcgetattr, tcsetattr};

    if !isatty(file) {
        return Ok(());
    }
    let mut settings = tcgetattr(file)?;
    settings.make_raw();
    settings.control_modes |= ControlModes::CLOCAL | ControlModes::CREAD;
    settings.set_speed(baud)?;
    Ok(tcsetattr(file, OptionalActions::Now, &settings)?)
}

#[cfg(not(unix))]
fn open_for(path: &Path, writing: bool) -> io::Result<File> {
    File::options().read(true).write(writing).open(path)
}

/// Set the port up with the system's own means (`mode COM3: ...`).
#[cfg(not(unix))]
fn set_raw(_file: &File, _baud: u32) -> io::Result<()> {
    Ok(())
}
