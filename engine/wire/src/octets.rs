//! Reading and writing numbers in network order, where the compiler can see that the place exists.

use crate::Sum;

/// The 16-bit number at `at`. `at` is a constant that lies within the header.
#[inline(always)]
pub(crate) const fn be16<const N: usize>(header: &[u8; N], at: usize) -> u16 {
    u16::from_be_bytes([header[at], header[at + 1]])
}

/// The 32-bit number at `at`. `at` is a constant that lies within the header.
#[inline(always)]
pub(crate) const fn be32<const N: usize>(header: &[u8; N], at: usize) -> u32 {
    u32::from_be_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]])
}

/// The `LEN` octets at `at`. `at` is a constant that lies within the header.
#[inline(always)]
pub(crate) const fn part<const LEN: usize, const N: usize>(header: &[u8; N], at: usize) -> [u8; LEN] {
    let mut part = [0; LEN];
    let mut index = 0;
    while index < LEN {
        part[index] = header[at + index];
        index += 1;
    }
    part
}

/// Writes octets one behind the other into a buffer that was measured before.
///
/// What does not fit is left out: the measuring function and the writing function are tested against each other.
pub(crate) struct Writer<'a> {
    buffer: &'a mut [u8],
    at: usize,
}

impl<'a> Writer<'a> {
    pub(crate) fn new(buffer: &'a mut [u8]) -> Self {
        Self { buffer, at: 0 }
    }

    #[inline(always)]
    pub(crate) fn put<const N: usize>(&mut self, octets: [u8; N]) {
        if let Some(place) = self.buffer.get_mut(self.at..self.at + N) {
            place.copy_from_slice(&octets);
        }
        self.at += N;
    }

    pub(crate) fn put_slice(&mut self, octets: &[u8]) {
        if let Some(place) = self.buffer.get_mut(self.at..self.at + octets.len()) {
            place.copy_from_slice(octets);
        }
        self.at += octets.len();
    }

    #[inline(always)]
    pub(crate) fn put_u16(&mut self, number: u16) {
        self.put(number.to_be_bytes());
    }

    #[inline(always)]
    pub(crate) fn put_u32(&mut self, number: u32) {
        self.put(number.to_be_bytes());
    }

    /// Octets written so far.
    pub(crate) fn len(&self) -> usize {
        self.at
    }
}

/// A [`Writer`] that sums what it writes while that is still in registers: reading octets back that were stored a moment
/// ago in other widths would stall.
pub(crate) struct SummingWriter<'a> {
    writer: Writer<'a>,
    sum: Sum,
}

impl<'a> SummingWriter<'a> {
    /// `sum` is what stands before the first octet, an even number of octets.
    pub(crate) fn new(buffer: &'a mut [u8], sum: Sum) -> Self {
        Self {
            writer: Writer::new(buffer),
            sum,
        }
    }

    #[inline(always)]
    pub(crate) fn put_u16(&mut self, number: u16) {
        self.sum = self.sum.with_word(number);
        self.writer.put_u16(number);
    }

    #[inline(always)]
    pub(crate) fn put_u32(&mut self, number: u32) {
        self.sum = self.sum.with_double_word(number);
        self.writer.put_u32(number);
    }

    pub(crate) fn sum(&self) -> Sum {
        self.sum
    }
}
