//! When new data may go out: Nagle's algorithm and the sender's silly window avoidance (RFC 9293 §3.7.4, §3.8.6.2.1).

/// What is known when a segment of new data could be made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Offer {
    /// Octets that would go out: what is queued, the usable window and a full segment, whichever is least.
    pub(crate) len: u32,
    /// Octets queued and never sent.
    pub(crate) unsent: u32,
    /// Octets of a full segment.
    pub(crate) mss: u32,
    /// Max(SND.WND).
    pub(crate) max_wnd: u32,
    /// Nothing is outstanding: SND.NXT = SND.UNA.
    pub(crate) idle: bool,
    /// Nagle's algorithm is off.
    pub(crate) nodelay: bool,
    /// A FIN stands behind what is queued: nothing will join the last octets.
    pub(crate) fin: bool,
}

/// RFC 9293 §3.8.6.2.1, MUST-38, in its order; Nagle (SHLD-7) is the condition in brackets there.
#[inline]
pub(crate) fn may_send(offer: &Offer) -> bool {
    // MUST-17: the application can switch Nagle's algorithm off.
    let unhindered = offer.idle || offer.nodelay;
    // (1) A full segment, which is what goes out whenever there is so much (SHLD-28).
    offer.len >= offer.mss
        // (2) All that is queued, as one push; small writes that waited go together (MAY-16).
        || (offer.len == offer.unsent && (unhindered || offer.fin))
        // (3) At least half of the largest window ever offered.
        || (unhindered && offer.len >= (offer.max_wnd / 2).max(1))
    // (4) The override timeout is the persist timer's.
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: Offer = Offer {
        len: 10,
        unsent: 10,
        mss: 100,
        max_wnd: 1000,
        idle: true,
        nodelay: false,
        fin: false,
    };

    // proves: RFC 9293 MUST-17, MUST-38, SHLD-7
    #[test]
    fn small_segments_wait_as_the_table_says() {
        let table = [
            ("a lone small write goes out at once", BASE, true),
            (
                "a full segment goes out always",
                Offer {
                    len: 100,
                    unsent: 500,
                    idle: false,
                    ..BASE
                },
                true,
            ),
            (
                "Nagle holds a small one while data is outstanding",
                Offer { idle: false, ..BASE },
                false,
            ),
            (
                "nodelay does not",
                Offer {
                    idle: false,
                    nodelay: true,
                    ..BASE
                },
                true,
            ),
            (
                "nor does a FIN behind it",
                Offer {
                    idle: false,
                    fin: true,
                    ..BASE
                },
                true,
            ),
            (
                "a sliver of window is not used",
                Offer { unsent: 50, ..BASE },
                false,
            ),
            (
                "not even with nodelay",
                Offer {
                    unsent: 50,
                    nodelay: true,
                    ..BASE
                },
                false,
            ),
            (
                "half of a small window is",
                Offer {
                    unsent: 50,
                    max_wnd: 20,
                    ..BASE
                },
                true,
            ),
            (
                "but not with data outstanding",
                Offer {
                    unsent: 50,
                    max_wnd: 20,
                    idle: false,
                    ..BASE
                },
                false,
            ),
        ];
        for (row, offer, expected) in table {
            assert_eq!(may_send(&offer), expected, "{row}");
        }
    }
}
