//! What a board gives to the program, and numbers as text without `core::fmt`, which can panic.

/// The board under the program.
pub trait Board {
    /// Prints text as it is.
    fn print(&mut self, text: &str);

    /// Instructions executed since some moment in the past; `None` where nothing counts them.
    fn instructions(&mut self) -> Option<u64>;
}

/// One line of the report, printed piece by piece.
///
/// ```
/// use navigation_example::board::{Board, Line};
///
/// struct Screen(String);
/// impl Board for Screen {
///     fn print(&mut self, text: &str) { self.0.push_str(text) }
///     fn instructions(&mut self) -> Option<u64> { None }
/// }
///
/// let mut screen = Screen(String::new());
/// Line::new(&mut screen).text("return ").real(-39.456, 2).text(" after ").number(40).text(" episodes").end();
/// assert_eq!(screen.0, "return -39.46 after 40 episodes\n");
/// ```
pub struct Line<'b, B: Board>(&'b mut B);

impl<'b, B: Board> Line<'b, B> {
    /// An empty line.
    pub fn new(board: &'b mut B) -> Self {
        Self(board)
    }

    /// Text as it is.
    pub fn text(self, text: &str) -> Self {
        self.0.print(text);
        self
    }

    /// A whole number in decimal.
    pub fn number(self, number: u64) -> Self {
        self.digits(number, 10, 1)
    }

    /// 32 bits in hexadecimal.
    pub fn bits(self, bits: u32) -> Self {
        self.text("0x").digits(u64::from(bits), 16, 8)
    }

    /// A number with this many decimal places (at most 6); past 4e9 scaled units it saturates.
    pub fn real(self, value: f32, places: u32) -> Self {
        if value.is_nan() {
            return self.text("NaN");
        }
        if value.is_infinite() {
            return self.text(if value > 0.0 { "inf" } else { "-inf" });
        }
        let scale = (0..places.min(6)).fold(1u32, |scale, _| scale * 10);
        let scaled = (value.abs() * scale as f32 + 0.5) as u32;
        let line = if value < 0.0 && scaled > 0 {
            self.text("-")
        } else {
            self
        };
        // The scale is at least 1; `checked_*` because the compiler need not see it.
        let whole = scaled.checked_div(scale).unwrap_or(scaled);
        let fraction = scaled.checked_rem(scale).unwrap_or(0);
        let line = line.number(u64::from(whole));
        match places.min(6) {
            0 => line,
            places => line.text(".").digits(u64::from(fraction), 10, places),
        }
    }

    /// Ends the line.
    pub fn end(self) {
        self.0.print("\n");
    }

    /// At least `width` digits.
    fn digits(self, mut number: u64, radix: u64, width: u32) -> Self {
        // 20 digits hold any u64 in decimal; filled from the end.
        let mut buffer = [b'0'; 20];
        let mut used = 0;
        for place in buffer.iter_mut().rev() {
            *place = match (number % radix) as u8 {
                digit @ 0..=9 => b'0' + digit,
                digit => b'a' + (digit - 10),
            };
            number /= radix;
            used += 1;
            if number == 0 && used >= width as usize {
                break;
            }
        }
        let digits = buffer.len().checked_sub(used).and_then(|start| buffer.get(start..));
        if let Some(text) = digits.and_then(|digits| core::str::from_utf8(digits).ok()) {
            self.0.print(text);
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Screen(String);

    impl Board for Screen {
        fn print(&mut self, text: &str) {
            self.0.push_str(text);
        }

        fn instructions(&mut self) -> Option<u64> {
            None
        }
    }

    fn printed(print: impl FnOnce(Line<'_, Screen>)) -> String {
        let mut screen = Screen(String::new());
        print(Line::new(&mut screen));
        screen.0
    }

    #[test]
    fn whole_numbers_are_those_of_the_standard_library() {
        for number in [0, 7, 10, 99, 100, 65_535, 4_294_967_296, u64::MAX] {
            assert_eq!(printed(|line| line.number(number).end()), format!("{number}\n"));
        }
        for bits in [0, 1, 0xdead_beef, u32::MAX] {
            assert_eq!(printed(|line| line.bits(bits).end()), format!("0x{bits:08x}\n"));
        }
    }

    #[test]
    fn reals_are_those_of_the_standard_library() {
        for value in [0.0, 0.25, 1.0, -1.0, 9.996, -39.4567, 0.004, -0.004, 123_456.78] {
            let expected = format!("{value:.2}\n").replace("-0.00", "0.00");
            assert_eq!(printed(|line| line.real(value, 2).end()), expected);
        }
        assert_eq!(printed(|line| line.real(2.5, 0).end()), "3\n");
        assert_eq!(printed(|line| line.real(0.000_123, 6).end()), "0.000123\n");
        assert_eq!(printed(|line| line.real(f32::NAN, 2).end()), "NaN\n");
        assert_eq!(printed(|line| line.real(f32::NEG_INFINITY, 2).end()), "-inf\n");
    }
}
