//! Loading, acting, exploring, observing and adapting make no heap allocation.
//!
//! The crate cannot allocate, having no allocator; this shows that nothing under it does either on a workstation.

// A counting allocator has to implement the unsafe trait.
#![allow(unsafe_code)]

mod linear;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use pliant_runtime::experience::End;
use pliant_runtime::image::Image;
use pliant_runtime::policy::{Policy, ResetKind, Status, workspace_len};

/// The system's allocator, counting.
struct Counting;

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Relaxed);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// One test in this file: others would run beside it and be counted.
#[test]
fn nothing_allocates() {
    let bytes = linear::policy_gradient([0.5, 0.25, -0.5], 2, 200).write();
    let mut memory = vec![0.0; workspace_len(&bytes)];
    let counted = ALLOCATIONS.load(Relaxed);
    assert!(counted > 0, "the allocator counts");

    let image = Image::new_checked(&bytes).unwrap();
    let mut policy = Policy::new(&image, None, &mut memory).unwrap();
    let (mut actor, mut learner) = policy.split();
    for _ in 0..2 {
        for _ in 0..5 {
            actor.reset(ResetKind::Episode);
            for step in 0..20 {
                let mut action = [0.0];
                let taken = actor.explore(&[0.1 * step as f32], &mut action).unwrap();
                let end = if step == 19 { End::Truncated } else { End::Continue };
                learner.observe(&taken, -action[0].abs(), end).unwrap();
            }
        }
        assert!(learner.adapt().is_accepted());
        assert_eq!(actor.act(&[1.0], &mut [0.0]), Status::Acted);
    }
    learner.revert_to_base();
    assert_eq!(ALLOCATIONS.load(Relaxed), counted);
}
