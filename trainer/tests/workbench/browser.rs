//! The report in headless Chromium: it shows what it should, and no text lies on another or beyond the page at any width.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::support::{pliant, skip, small_run, succeeds};

/// Says what a reader would see: boxes of texts that overlap, texts outside their chart, and how far the page overflows.
const EXAMINE: &str = r#"<script>
window.addEventListener('load', () => {
  const problems = [];
  for (const chart of document.querySelectorAll('svg.chart')) {
    const frame = chart.getBoundingClientRect();
    const texts = [...chart.querySelectorAll('text')];
    const boxes = texts.map(text => text.getBoundingClientRect());
    boxes.forEach((a, i) => {
      if (a.left < frame.left - 1 || a.right > frame.right + 1 || a.top < frame.top - 1 || a.bottom > frame.bottom + 1)
        problems.push('outside: ' + texts[i].textContent);
      boxes.slice(i + 1).forEach((b, j) => {
        const wide = Math.min(a.right, b.right) - Math.max(a.left, b.left);
        const high = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
        if (wide > 1 && high > 2) problems.push(texts[i].textContent + ' | ' + texts[i + 1 + j].textContent);
      });
    });
  }
  const overflow = document.documentElement.scrollWidth - window.innerWidth;
  if (overflow > 0) problems.push('the page is ' + overflow + ' wider than the window');
  const result = document.createElement('pre');
  result.id = 'examined';
  result.textContent = JSON.stringify({charts: document.querySelectorAll('svg.chart').length, problems,
    marks: document.querySelectorAll('polyline').length});
  document.body.append(result);
});
</script>"#;

fn chromium() -> Option<std::ffi::OsString> {
    let named = std::env::var_os("PLIANT_CHROMIUM");
    let candidates = named.into_iter().chain(["chromium".into(), "google-chrome".into()]);
    candidates.into_iter().find(|program| {
        Command::new(program)
            .arg("--version")
            .output()
            .is_ok_and(|output| output.status.success())
    })
}

/// Says how many canvases show something, whether a later moment looks different, and how far the page overflows.
const WATCH: &str = r#"<script>
window.addEventListener('load', () => {
  const pixels = (canvas) => canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
  const canvases = [...document.querySelectorAll('canvas')];
  const before = canvases.map(pixels);
  const slider = document.getElementById('time');
  slider.value = 0.5 * slider.max;
  slider.dispatchEvent(new Event('input'));
  const after = canvases.map(pixels);
  const result = document.createElement('pre');
  result.id = 'examined';
  result.textContent = JSON.stringify({
    clips: Number(document.body.dataset.clips),
    drawn: before.filter((data) => data.some((value) => value)).length,
    moved: after.filter((data, i) => data.some((value, k) => value !== before[i][k])).length,
    canvases: canvases.length,
    loaded: performance.getEntriesByType('resource').length,
    overflow: Math.max(0, document.documentElement.scrollWidth - window.innerWidth)});
  document.body.append(result);
});
</script>"#;

/// What the page at `path` says of itself in a window of this width.
fn examine(program: &std::ffi::OsStr, folder: &Path, html: &str, width: u32) -> Value {
    said_by(program, folder, html, EXAMINE, width)
}

fn said_by(program: &std::ffi::OsStr, folder: &Path, html: &str, script: &str, width: u32) -> Value {
    let page = folder.join(format!("examined-{width}.html"));
    fs::write(&page, html.replace("</body>", &format!("{script}</body>"))).unwrap();
    let output = Command::new(program)
        // As root (in containers) the sandbox refuses to start; the page is ours.
        .args([
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
        ])
        .arg(format!("--window-size={width},1400"))
        .arg(format!("--user-data-dir={}", folder.join("profile").display()))
        .arg("--dump-dom")
        .arg(format!("file://{}", page.display()))
        .output()
        .unwrap();
    let dom = String::from_utf8_lossy(&output.stdout).into_owned();
    let said = dom
        .split_once("<pre id=\"examined\">")
        .and_then(|(_, rest)| rest.split_once("</pre>"));
    let (said, _) = said.unwrap_or_else(|| panic!("no result: {}", String::from_utf8_lossy(&output.stderr)));
    serde_json::from_str(&said.replace("&amp;", "&").replace("&lt;", "<").replace("&gt;", ">")).unwrap()
}

#[test]
fn reports_are_legible_in_a_browser_at_every_width() {
    let Some(program) = chromium() else {
        return skip("report in a browser: no Chromium (`apt-get install chromium`, or `cargo xtask test`)");
    };
    let folder = tempfile::tempdir().unwrap();
    let run = small_run(folder.path(), "a", &[]);
    let other = small_run(folder.path(), "b", &["--seed", "1"]);
    let compared = folder.path().join("compare.html");
    let paths = [&run, &other, &compared].map(|path| path.to_str().unwrap());
    succeeds(pliant(&["compare", paths[0], paths[1], "--out", paths[2]]));
    for (page, charts) in [(run.join("report.html"), 8), (compared, 2)] {
        let html = fs::read_to_string(&page).unwrap();
        for width in [500, 800, 1280] {
            let seen = examine(&program, folder.path(), &html, width);
            assert_eq!(seen["charts"], charts);
            assert!(seen["marks"].as_u64().is_some_and(|marks| marks >= charts), "{seen}");
            assert_eq!(
                seen["problems"],
                Value::Array(Vec::new()),
                "{} at {width}",
                page.display()
            );
        }
    }
}

#[test]
fn animations_play_in_a_browser() {
    let Some(program) = chromium() else {
        return skip("animations in a browser: no Chromium (`apt-get install chromium`, or `cargo xtask test`)");
    };
    let folder = tempfile::tempdir().unwrap();
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models");
    let page = folder.path().join("page.html");
    let path = page.to_str().unwrap();
    for (name, command, clips) in [
        (
            "quadrotor",
            &["--shift", "gusts", "--quadrotors", "2", "--speed", "0", "--html"][..],
            4,
        ),
        ("cart-pole", &["--tasks", "1", "--out"], 2),
        ("pendulum", &["--tasks", "1", "--out"], 2),
        ("arm", &["--tasks", "1", "--out"], 2),
        ("vehicle", &["--tasks", "1", "--out"], 2),
        ("point-navigation", &["--tasks", "1", "--out"], 4),
    ] {
        let bundle = models.join(name);
        let way = if name == "quadrotor" { "fly" } else { "play" };
        let arguments = [&[way, bundle.to_str().unwrap()], command, &[path]].concat();
        succeeds(pliant(&arguments));
        let html = fs::read_to_string(&page).unwrap();
        assert!(!html.contains("http"), "nothing from elsewhere");
        let width = if clips == 4 { 500 } else { 1280 };
        let seen = said_by(&program, folder.path(), &html, WATCH, width);
        assert_eq!(seen["clips"], clips, "{name}: {seen}");
        // A scene and a graph each; both change with time.
        for what in ["canvases", "drawn", "moved"] {
            assert_eq!(seen[what], 2 * clips, "{name}, {what}: {seen}");
        }
        assert_eq!(
            (&seen["loaded"], &seen["overflow"]),
            (&0.into(), &0.into()),
            "{name}: {seen}"
        );
    }
}
