//! Where a component's memory comes from. An instance serves one call and is gone: the little that a call allocates is
//! cut off a piece of fixed length and hardly ever given back, which takes a tenth less instructions of a usual call
//! than the C library's allocator. That one has what does not fit.

#![expect(unsafe_code, reason = "an allocator is unsafe to write")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::{Cell, UnsafeCell};

/// A webhook of 600 bytes takes some 10 KiB of it. What is not touched costs nothing.
const ARENA_BYTES: usize = 64 << 10;

#[cfg(all(target_family = "wasm", feature = "heap"))]
#[global_allocator]
static HEAP: Heap = Heap::new();

/// The allocator.
struct Heap {
    arena: UnsafeCell<[u8; ARENA_BYTES]>,
    /// Bytes of the arena up to here are taken.
    taken: Cell<usize>,
}

// SAFETY: a component has one thread.
#[cfg(target_family = "wasm")]
unsafe impl Sync for Heap {}

impl Heap {
    const fn new() -> Heap {
        Heap { arena: UnsafeCell::new([0; ARENA_BYTES]), taken: Cell::new(0) }
    }

    fn begin(&self) -> *mut u8 {
        self.arena.get().cast()
    }

    /// Where in the arena `piece` begins; `None` for one of the C library's.
    fn place(&self, piece: *mut u8) -> Option<usize> {
        let place = piece.addr().wrapping_sub(self.begin().addr());
        (place < ARENA_BYTES).then_some(place)
    }

    /// Takes the bytes from `place` on, if there are so many.
    fn take(&self, place: usize, bytes: usize) -> bool {
        let fits = place <= ARENA_BYTES && bytes <= ARENA_BYTES - place;
        if fits {
            self.taken.set(place + bytes);
        }
        fits
    }

    /// Whether nothing was taken after the piece.
    fn is_last(&self, place: usize, layout: Layout) -> bool {
        place + layout.size() == self.taken.get()
    }
}

// SAFETY: pieces of the arena lie one after the other, each aligned and as long as it was asked for. `taken` goes back
// for the last one alone, so none overlaps another. All else goes to `System`, with the layout that it was asked with.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let free = self.begin().wrapping_add(self.taken.get());
        let place = self.taken.get() + free.align_offset(layout.align());
        if self.take(place, layout.size()) {
            self.begin().wrapping_add(place)
        } else {
            unsafe { System.alloc(layout) }
        }
    }

    unsafe fn dealloc(&self, piece: *mut u8, layout: Layout) {
        match self.place(piece) {
            Some(place) if self.is_last(place, layout) => self.taken.set(place),
            Some(_) => {}
            None => unsafe { System.dealloc(piece, layout) },
        }
    }

    unsafe fn realloc(&self, piece: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        let Some(place) = self.place(piece) else { return unsafe { System.realloc(piece, layout, bytes) } };
        if self.is_last(place, layout) && self.take(place, bytes) || bytes <= layout.size() {
            return piece;
        }
        // SAFETY: the caller sees to it that the new length is one of a layout.
        let longer = unsafe { self.alloc(Layout::from_size_align_unchecked(bytes, layout.align())) };
        if !longer.is_null() {
            // SAFETY: both have so many bytes, and were never one.
            unsafe { longer.copy_from_nonoverlapping(piece, layout.size()) };
        }
        longer
    }
}

#[cfg(test)]
mod tests {
    use super::{ARENA_BYTES, Heap};
    use proptest::prelude::{Just, ProptestConfig, Strategy, any, prop_assert, prop_oneof, proptest};
    use std::alloc::{GlobalAlloc, Layout};

    /// A piece, and the byte that all of it was filled with.
    struct Piece(*mut u8, Layout, u8);

    impl Piece {
        fn fill(&mut self, heap: &Heap, filling: u8) {
            assert!(!self.0.is_null());
            assert!(self.0.addr().is_multiple_of(self.1.align()), "{:?}", self.1);
            self.2 = filling;
            unsafe { self.0.write_bytes(filling, self.1.size()) };
            let is_inside = |place| place + self.1.size() <= ARENA_BYTES;
            assert!(heap.place(self.0).is_none_or(is_inside), "beyond the arena");
        }

        fn is_whole(&self, bytes: usize) -> bool {
            (0..bytes).all(|at| unsafe { self.0.add(at).read() } == self.2)
        }
    }

    #[derive(Clone, Debug)]
    enum Asked {
        Alloc(usize, usize),
        Zeroed(usize),
        Dealloc(usize),
        Realloc(usize, usize),
    }

    fn asked() -> impl Strategy<Value = Asked> {
        let bytes = || prop_oneof![8 => 1..2_000_usize, 1 => 1..=2 * ARENA_BYTES];
        prop_oneof![
            4 => (bytes(), 0..8_u32).prop_map(|(bytes, power)| Asked::Alloc(bytes, 1 << power)),
            1 => bytes().prop_map(Asked::Zeroed),
            2 => any::<usize>().prop_map(Asked::Dealloc),
            // The last one again and again, as a text that is being written.
            2 => (prop_oneof![any::<usize>(), Just(usize::MAX)], bytes())
                .prop_map(|(which, bytes)| Asked::Realloc(which, bytes)),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn pieces_keep_what_is_written_to_them(asked in proptest::collection::vec(asked(), 1..200)) {
            let heap = Box::new(Heap::new());
            let mut pieces: Vec<Piece> = Vec::new();
            for (filling, asked) in (1..=u8::MAX).cycle().zip(asked) {
                match asked {
                    Asked::Alloc(bytes, align) => {
                        let layout = Layout::from_size_align(bytes, align).unwrap();
                        pieces.push(Piece(unsafe { heap.alloc(layout) }, layout, 0));
                        pieces.last_mut().unwrap().fill(&heap, filling);
                    }
                    Asked::Zeroed(bytes) => {
                        let layout = Layout::from_size_align(bytes, 1).unwrap();
                        let mut piece = Piece(unsafe { heap.alloc_zeroed(layout) }, layout, 0);
                        prop_assert!(piece.is_whole(bytes));
                        piece.fill(&heap, filling);
                        pieces.push(piece);
                    }
                    Asked::Dealloc(which) if !pieces.is_empty() => {
                        let piece = pieces.swap_remove(which % pieces.len());
                        prop_assert!(piece.is_whole(piece.1.size()));
                        unsafe { heap.dealloc(piece.0, piece.1) };
                    }
                    Asked::Realloc(which, bytes) if !pieces.is_empty() => {
                        let last = pieces.len() - 1;
                        let piece = &mut pieces[which.min(last)];
                        piece.0 = unsafe { heap.realloc(piece.0, piece.1, bytes) };
                        prop_assert!(piece.is_whole(bytes.min(piece.1.size())));
                        piece.1 = Layout::from_size_align(bytes, piece.1.align()).unwrap();
                        piece.fill(&heap, filling);
                    }
                    Asked::Dealloc(_) | Asked::Realloc(..) => {}
                }
            }
            for piece in pieces {
                prop_assert!(piece.is_whole(piece.1.size()));
                unsafe { heap.dealloc(piece.0, piece.1) };
            }
        }
    }

    #[test]
    fn the_last_piece_grows_in_place_and_is_given_back() {
        let heap = Heap::new();
        let layout = Layout::from_size_align(100, 1).unwrap();
        unsafe {
            let (first, text) = (heap.alloc(layout), heap.alloc(layout));
            assert_eq!(heap.realloc(text, layout, 200), text);
            assert_ne!(heap.realloc(first, layout, 200), first, "another lies behind it");
            let taken = heap.taken.get();
            heap.dealloc(heap.alloc(layout), layout);
            assert_eq!(heap.taken.get(), taken);
        }
    }

    #[test]
    fn what_does_not_fit_comes_from_the_system() {
        let heap = Heap::new();
        let all = Layout::from_size_align(ARENA_BYTES, 1).unwrap();
        let one = Layout::from_size_align(1, 1).unwrap();
        unsafe {
            assert_eq!(heap.place(heap.alloc(all)), Some(0));
            let more = heap.alloc(one);
            assert_eq!(heap.place(more), None);
            heap.dealloc(more, one);
        }
    }
}
