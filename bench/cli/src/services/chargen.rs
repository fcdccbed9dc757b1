//! Character generator (RFC 864): lines of 72 characters, each turned by one, for as long as the peer takes them.

use super::pipe::Pipe;

/// One connection's place in the pattern.
#[derive(Default)]
pub(crate) struct Chargen {
    at: usize,
    over: bool,
}

impl Chargen {
    /// Sends until there is no room; ends between two lines when the engine drains.
    pub(crate) fn fill<P: Pipe>(&mut self, pipe: &mut P, pattern: &P::Prepared) {
        while !self.over {
            if pipe.is_draining() {
                let line_end = self.at.next_multiple_of(LINE);
                self.at += pipe.send_prepared(pattern, self.at, line_end);
                if self.at == line_end {
                    self.over = true;
                    pipe.close();
                }
                return;
            }
            let sent = pipe.send_prepared(pattern, self.at, PATTERN);
            self.at = (self.at + sent) % PATTERN;
            if sent == 0 {
                return;
            }
        }
    }
}

/// The 95 lines after which the pattern begins again.
pub(crate) fn pattern() -> Vec<u8> {
    let ring: Vec<u8> = (b' '..=b'~').collect();
    let line = |turn: usize| {
        let characters = ring.iter().cycle().skip(turn).take(LINE - 2).copied();
        characters.chain(*b"\r\n").collect::<Vec<u8>>()
    };
    (0..LINES).flat_map(line).collect()
}

/// 72 characters, CR, LF.
const LINE: usize = 74;
/// One for each printing character of ASCII.
const LINES: usize = 95;
/// Bytes of the whole pattern.
pub(crate) const PATTERN: usize = LINE * LINES;

#[cfg(test)]
mod tests {
    use super::super::testing::Script;
    use super::*;

    #[test]
    fn lines_turn_by_one_character() {
        let pattern = String::from_utf8(pattern()).unwrap();
        let lines: Vec<_> = pattern.split_terminator("\r\n").collect();
        assert_eq!(lines.len(), LINES);
        // The first line of RFC 864's example.
        assert!(
            lines[0].starts_with(" !\"#$%&'()*+,-./0123456789") && lines[0].ends_with("XYZ[\\]^_`abcdefg")
        );
        for (one, next) in lines.iter().zip(lines.iter().cycle().skip(1)) {
            assert_eq!(one.len(), 72);
            assert_eq!(one[1..], next[..71], "also from the last to the first");
        }
    }

    #[test]
    fn it_goes_on_where_the_room_ended_and_stops_at_a_line_when_draining() {
        let mut pipe = Script {
            room: 10_000,
            ..Script::default()
        };
        let prepared = pipe.prepare(pattern());
        let mut chargen = Chargen::default();
        chargen.fill(&mut pipe, &prepared);
        pipe.room = 10_000;
        chargen.fill(&mut pipe, &prepared);
        let expected: Vec<u8> = pattern().iter().cycle().take(20_000).copied().collect();
        assert_eq!(pipe.sent, expected);
        (pipe.room, pipe.draining) = (10_000, true);
        chargen.fill(&mut pipe, &prepared);
        assert!(pipe.closed);
        assert_eq!(pipe.sent.len() % LINE, 0);
        assert!(pipe.sent.len() < 20_000 + LINE);
    }
}
