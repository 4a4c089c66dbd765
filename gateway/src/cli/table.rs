//! Draws rows in aligned columns.

use crate::cli::terminal::{Span, Style, faint};

/// Rows under a heading.
#[derive(Clone, Debug)]
pub struct Table {
    rows: Vec<Vec<Span>>,
}

/// What stands between two columns.
const GAP: &str = "  ";

impl Table {
    /// A table with these columns and no rows.
    pub fn new(columns: &[&str]) -> Table {
        Table { rows: vec![columns.iter().map(|column| faint(*column)).collect()] }
    }

    /// Adds a row; cells beyond the columns are left out.
    pub fn row(&mut self, cells: impl IntoIterator<Item = Span>) {
        let columns = self.rows[0].len();
        self.rows.push(cells.into_iter().take(columns).collect());
    }

    /// The table as text, each line ended by `\n`; the last column is not padded.
    pub fn draw(&self, style: Style) -> String {
        let columns = self.rows[0].len();
        let width = |column: usize| self.rows.iter().filter_map(|row| row.get(column)).map(Span::width).max();
        let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
        let mut out = String::new();
        for row in &self.rows {
            for (i, (cell, width)) in row.iter().zip(&widths).enumerate() {
                cell.draw(style, &mut out);
                if i + 1 < row.len() {
                    out.extend(std::iter::repeat_n(' ', width - cell.width()));
                    out.push_str(GAP);
                }
            }
            out.truncate(out.trim_end_matches(' ').len());
            out.push('\n');
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::terminal::{bad, plain};

    #[test]
    fn columns_are_as_wide_as_their_widest_cell_when_drawn() {
        let mut table = Table::new(&["ID", "NAME", "WHY"]);
        table.row(["1", "a\nb", ""].map(plain));
        table.row(["22", "é", "late", "too many"].map(bad));
        assert_eq!(table.draw(Style::Plain), "ID  NAME  WHY\n1   a\\nb\n22  é     late\n");
    }
}
