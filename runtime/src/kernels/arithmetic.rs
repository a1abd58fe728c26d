//! How a sum of products is rounded.

/// How a sum of products is rounded.
pub(super) trait Ops {
    /// Whether sums may be taken in another order.
    const REASSOCIATE: bool;
    /// Whether products and sums are rounded once: for tiles that name their instructions.
    #[cfg_attr(not(all(feature = "std", target_arch = "x86_64")), allow(dead_code))]
    const FUSED: bool;
    /// `sum + a * b`.
    #[cfg_attr(target_abi = "eabihf", allow(dead_code))] // For tiles that do not name their instructions.
    fn add_product(sum: f32, a: f32, b: f32) -> f32;
}

/// Multiply, round, add, round.
pub(super) struct Rounded;

impl Ops for Rounded {
    const REASSOCIATE: bool = false;
    const FUSED: bool = false;

    #[inline(always)]
    fn add_product(sum: f32, a: f32, b: f32) -> f32 {
        sum + a * b
    }
}

/// One rounding, any order. Only for targets that have the instruction: elsewhere it is a slow call.
#[cfg(all(feature = "std", any(target_arch = "x86_64", target_arch = "aarch64")))]
pub(super) struct Fused;

#[cfg(all(feature = "std", any(target_arch = "x86_64", target_arch = "aarch64")))]
impl Ops for Fused {
    const REASSOCIATE: bool = true;
    const FUSED: bool = true;

    #[inline(always)]
    fn add_product(sum: f32, a: f32, b: f32) -> f32 {
        a.mul_add(b, sum)
    }
}
