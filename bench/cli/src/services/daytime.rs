//! Daytime (RFC 867): one line with the time, then the end.

use super::clock::Civil;
use super::pipe::Pipe;

pub(crate) fn on_open<P: Pipe>(pipe: &mut P) {
    pipe.send(line(&Civil::now()).as_bytes());
    on_readable(pipe);
    pipe.close();
}

/// Any data received is thrown away.
pub(crate) fn on_readable<P: Pipe>(pipe: &mut P) {
    while pipe.receive().is_some() {}
}

/// As in RFC 867's first example.
fn line(time: &Civil) -> String {
    let Civil {
        weekday,
        day,
        month,
        year,
        hour,
        minute,
        second,
        ..
    } = time;
    format!("{weekday}, {month} {day}, {year} {hour:02}:{minute:02}:{second:02}-UTC\r\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_is_as_in_the_rfc() {
        assert_eq!(
            line(&Civil::at(383_247_463)),
            "Monday, February 22, 1982 17:37:43-UTC\r\n"
        );
    }
}
