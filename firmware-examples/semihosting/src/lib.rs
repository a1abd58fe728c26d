//! Text out and the exit status, through the debugger's breakpoint interface (Arm, "Semihosting for AArch32 and AArch64";
//! RISC-V International, "RISC-V Semihosting", takes over its operations).
//!
//! Without `core::fmt`: formatting brings panics with it.
#![no_std]
#![allow(unsafe_code)]

#[cfg(not(any(target_arch = "arm", target_arch = "riscv32")))]
compile_error!("semihosting of this architecture is not known here: boards have another way to print");

use core::arch::asm;

const OPEN: u32 = 0x01;
const WRITE: u32 = 0x05;
const EXIT_EXTENDED: u32 = 0x20;

/// `SYS_OPEN` mode "w".
const MODE_WRITE: usize = 4;
/// The reason `ADP_Stopped_ApplicationExit`.
const APPLICATION_EXIT: usize = 0x2_0026;

/// The host's standard output.
pub struct Console {
    handle: usize,
}

impl Console {
    /// Opens it.
    pub fn open() -> Self {
        const NAME: &[u8; 4] = b":tt\0";
        Self {
            handle: call(OPEN, &[NAME.as_ptr().expose_provenance(), MODE_WRITE, NAME.len() - 1]) as usize,
        }
    }

    /// Prints text as it is. What the host does not take is lost: there is nobody to tell.
    pub fn print(&mut self, text: &str) {
        call(WRITE, &[self.handle, text.as_ptr().expose_provenance(), text.len()]);
    }

    /// Prints `name: number` on a line of its own.
    pub fn figure(&mut self, name: &str, number: u64) {
        // The largest number has twenty digits.
        let mut digits = [b'0'; 20];
        let mut rest = number;
        let mut length = 0;
        for digit in digits.iter_mut().rev() {
            *digit += (rest % 10) as u8;
            rest /= 10;
            length += 1;
            if rest == 0 {
                break;
            }
        }
        let text = digits
            .get(20 - length..)
            .and_then(|digits| core::str::from_utf8(digits).ok());
        self.print(name);
        self.print(": ");
        self.print(text.unwrap_or_default());
        self.print("\n");
    }
}

/// Ends the emulation with this exit status.
pub fn exit(status: u32) -> ! {
    call(EXIT_EXTENDED, &[APPLICATION_EXIT, status as usize]);
    loop {
        // A host without the call: nothing more to do.
        core::hint::spin_loop();
    }
}

#[cfg(target_arch = "arm")]
fn call<const N: usize>(operation: u32, block: &[usize; N]) -> u32 {
    let answer;
    // SAFETY: the host reads the block, and what its pointers name, for the length it states, while the core is halted; all
    // of that outlives the call, and none of these operations writes to the target's memory. Without a debugger the
    // breakpoint is a fault: it stops the board, it corrupts nothing.
    unsafe {
        asm!("bkpt #0xab", inlateout("r0") operation => answer, in("r1") block.as_ptr(), options(nostack));
    }
    answer
}

#[cfg(target_arch = "riscv32")]
fn call<const N: usize>(operation: u32, block: &[usize; N]) -> u32 {
    let answer;
    // SAFETY: as on Arm. The debugger knows the breakpoint by the two shifts of x0 around it, which do nothing; all three must
    // be whole instructions, in one page.
    unsafe {
        asm!(
            ".balign 16",
            ".option push",
            ".option norvc",
            "slli x0, x0, 0x1f",
            "ebreak",
            "srai x0, x0, 7",
            ".option pop",
            inlateout("a0") operation => answer,
            in("a1") block.as_ptr(),
            options(nostack)
        );
    }
    answer
}
