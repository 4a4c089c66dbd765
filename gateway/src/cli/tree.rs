//! Draws a tree of lines with the branches of `tree(1)`.

use crate::cli::terminal::{Span, Style, faint};

/// A line and what hangs below it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Node {
    line: Vec<Span>,
    children: Vec<Node>,
}

impl Node {
    /// A line without children.
    pub fn new(line: impl IntoIterator<Item = Span>) -> Node {
        Node { line: line.into_iter().collect(), children: Vec::new() }
    }

    /// A line of a label and what it says, aligned with its sisters'.
    pub fn fact(label: &str, line: impl IntoIterator<Item = Span>) -> Node {
        let label = faint(format!("{label:<LABEL_CHARS$} "));
        Node::new(std::iter::once(label).chain(line))
    }

    /// Hangs a child below, after those that are there.
    pub fn push(&mut self, child: Node) {
        self.children.push(child);
    }

    /// Hangs a child below if there is one.
    pub fn extend(&mut self, child: Option<Node>) {
        self.children.extend(child);
    }

    /// The node with children below.
    pub fn with(mut self, children: impl IntoIterator<Item = Node>) -> Node {
        self.children.extend(children);
        self
    }

    /// The tree as text, each line ended by `\n`.
    pub fn draw(&self, style: Style) -> String {
        let mut out = String::new();
        self.draw_line(style, &mut out);
        self.draw_children("", style, &mut out);
        out
    }

    fn draw_line(&self, style: Style, out: &mut String) {
        let start = out.len();
        for span in &self.line {
            span.draw(style, out);
        }
        let end = start + out[start..].trim_end().len();
        out.truncate(end);
        out.push('\n');
    }

    fn draw_children(&self, indent: &str, style: Style, out: &mut String) {
        for (i, child) in self.children.iter().enumerate() {
            let last = i + 1 == self.children.len();
            let branch = format!("{indent}{}", if last { "└─ " } else { "├─ " });
            faint(branch).draw(style, out);
            child.draw_line(style, out);
            let below = format!("{indent}{}", if last { "   " } else { "│  " });
            child.draw_children(&below, style, out);
        }
    }
}

/// The width of labels in [`Node::fact`].
const LABEL_CHARS: usize = 12;
