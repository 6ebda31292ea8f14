//! monoio's rented buffers as plain slices, for runtimes that copy.
//!
//! Invariant: no slice outlives the borrow of its buffer.

use ::monoio::buf::{IoBuf, IoBufMut};

/// The bytes of a buffer to be sent.
#[allow(unsafe_code, reason = "monoio's buffer traits hand out raw memory")]
pub(super) fn bytes_of<T: IoBuf>(buffer: &T) -> &[u8] {
    // SAFETY: `IoBuf` promises `bytes_init` readable bytes at `read_ptr` for as long as the buffer is where it is.
    unsafe { std::slice::from_raw_parts(buffer.read_ptr(), buffer.bytes_init()) }
}

/// Copies as many of `bytes` as there is room for to the start of a receive buffer; gives how many.
#[allow(unsafe_code, reason = "monoio's buffer traits hand out raw memory")]
pub(super) fn fill<T: IoBufMut>(buffer: &mut T, bytes: &[u8]) -> usize {
    let count = bytes.len().min(buffer.bytes_total());
    // SAFETY: `IoBufMut` promises `bytes_total` writable bytes at `write_ptr`, and the borrow keeps others away from
    // them. The first `count` of them are initialised before `set_init`.
    unsafe {
        std::ptr::copy_nonoverlapping(bytes.as_ptr(), buffer.write_ptr(), count);
        buffer.set_init(count);
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_read_and_filled_within_their_bounds() {
        assert_eq!(bytes_of(&b"abc".to_vec()), b"abc");
        let mut buffer = Vec::with_capacity(4);
        let room = buffer.capacity();
        assert_eq!(fill(&mut buffer, &vec![b'x'; room + 3]), room);
        assert_eq!(buffer, vec![b'x'; room]);
        assert_eq!(fill(&mut buffer, b"y"), 1);
        assert_eq!(buffer[0], b'y');
    }
}
