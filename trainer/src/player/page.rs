//! The page: clips, and the few lines of script that play them.

use super::Clip;

const STYLE: &str = include_str!("player.css");
const SCRIPT: &str = include_str!("player.js");

/// A self-contained page that plays clips. Those of a group stand side by side.
pub fn page(title: &str, introduction: &str, clips: &[Clip]) -> String {
    // Only numbers, and text without the one sequence that would end the script.
    let data = serde_json::to_string(clips).unwrap_or_default().replace("</", "<\\/");
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\"><title>{title}</title><style>{STYLE}</style></head>\
         <body><h1>{title}</h1><p>{introduction}</p>\
         <div id=\"controls\"><button id=\"play\" type=\"button\">Pause</button>\
         <input id=\"time\" type=\"range\" min=\"0\" value=\"0\" step=\"0.001\" aria-label=\"time\">\
         <output id=\"clock\"></output><label>speed <select id=\"speed\"><option>0.25<option>0.5<option selected>1<option>2</select></label></div>\
         <div id=\"clips\"></div><script>const CLIPS={data};\n{SCRIPT}</script></body></html>\n",
        title = escape(title),
        introduction = escape(introduction),
    )
}

/// Text as it stands in HTML.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
