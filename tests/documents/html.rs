//! Pieces of HTML: everything that comes from a document is escaped here.

use crate::fields::{Field, Required};
use crate::json::Json;

/// Text that means itself, in an element and in an attribute.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

/// One line; what stands in backticks is code.
pub(crate) fn line(text: &str) -> String {
    let parts = text.split('`').map(escape);
    let coded = parts.enumerate().map(|(at, part)| match at % 2 {
        0 => part,
        _ => format!("<code>{part}</code>"),
    });
    coded.collect()
}

/// A paragraph for each that the text has.
pub(crate) fn paragraphs(text: &str) -> String {
    let all = text.split("\n\n").filter(|text| !text.trim().is_empty());
    all.map(|text| format!("<p>{}</p>\n", line(text))).collect()
}

pub(crate) fn code(text: &str) -> String {
    format!("<code>{}</code>", escape(text))
}

/// A table with a head; the cells are HTML.
pub(crate) fn table(caption: &str, head: &[&str], rows: &[Vec<String>]) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let head: String = head
        .iter()
        .map(|name| format!("<th scope=\"col\">{name}</th>"))
        .collect();
    let rows: String = rows
        .iter()
        .map(|cells| {
            let cells: String = cells
                .iter()
                .map(|cell| format!("<td>{cell}</td>"))
                .collect();
            format!("<tr>{cells}</tr>\n")
        })
        .collect();
    format!(
        "<div class=\"wide\" tabindex=\"0\" role=\"region\" aria-label=\"{caption}\"><table><caption>{caption}</caption>\
         <thead><tr>{head}</tr></thead><tbody>\n{rows}</tbody></table></div>\n"
    )
}

/// The fields of a body or of headers.
pub(crate) fn field_table(caption: &str, fields: &[Field]) -> String {
    let rows: Vec<Vec<String>> = fields
        .iter()
        .map(|field| {
            let required = match field.required {
                Required::Yes => " <span class=\"required\">required</span>",
                Required::No => "",
            };
            vec![
                code(&field.path) + required,
                escape(&field.kind),
                line(&field.limits),
                line(&field.description),
            ]
        })
        .collect();
    table(caption, &["field", "type", "limits", "meaning"], &rows)
}

/// An example behind a line to open it.
pub(crate) fn example(caption: &str, value: &Json) -> String {
    let text = escape(value.write().trim_end());
    format!(
        "<details><summary>{}</summary><pre><code>{text}</code></pre></details>\n",
        line(caption)
    )
}

#[test]
fn markup_in_a_text_means_itself() {
    assert_eq!(line("a <b> `c & d`"), "a &lt;b&gt; <code>c &amp; d</code>");
    assert_eq!(paragraphs("a\n\nb"), "<p>a</p>\n<p>b</p>\n");
}
