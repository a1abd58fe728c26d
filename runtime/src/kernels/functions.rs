//! Elementwise functions: fixed sequences of single-precision operations, without branches, so that loops over them
//! vectorise and every core gives the same bits.
//!
//! The larger ones are functions of their own on small cores, where code is dear.
//!
//! Errors are against the exact result, found over all of the stated range by the tests in `runtime/tests`; one *ulp* is
//! the distance of two neighbouring `f32`. NaN in, NaN out, everywhere. (Its sign and payload are the core's own.)

#![allow(clippy::excessive_precision)] // Coefficients as published.

/// Adding and taking away this number rounds to the nearest integer (ties to even), for magnitudes below 2^22.
const MAGIC: f32 = 12_582_912.0;

/// `min(max(x, low), high)`; NaN stays NaN.
#[inline(always)]
pub(super) fn clip(x: f32, low: f32, high: f32) -> f32 {
    let x = if x < low { low } else { x };
    if x > high { high } else { x }
}

/// The smaller; NaN if either is.
#[inline(always)]
pub(super) fn min(a: f32, b: f32) -> f32 {
    if a < b || a.is_nan() { a } else { b }
}

/// The larger; NaN if either is.
#[inline(always)]
pub(super) fn max(a: f32, b: f32) -> f32 {
    if a > b || a.is_nan() { a } else { b }
}

/// `max(x, 0)`; 0 for -0, NaN stays NaN.
#[inline(always)]
pub(super) fn relu(x: f32) -> f32 {
    if x <= 0.0 { 0.0 } else { x }
}

/// `a` where `b > 0`, otherwise 0; NaN where `b` is.
#[inline(always)]
pub(super) fn relu_gradient(a: f32, b: f32) -> f32 {
    let kept = if b > 0.0 { a } else { 0.0 };
    if b.is_nan() { b } else { kept }
}

/// -1, 0 or 1; NaN stays NaN.
#[inline(always)]
pub(super) fn sign(x: f32) -> f32 {
    let nonzero = if x > 0.0 { 1.0 } else { -1.0 };
    if x == 0.0 || x.is_nan() { x + 0.0 } else { nonzero }
}

/// 1 for true, 0 for false.
#[inline(always)]
pub(super) fn truth(condition: bool) -> f32 {
    if condition { 1.0 } else { 0.0 }
}

/// 2^n for -127 <= n <= 127 (0 for -127), garbage otherwise.
#[inline(always)]
fn power_of_two(n: i32) -> f32 {
    f32::from_bits((n.wrapping_add(127) as u32) << 23)
}

/// e^(x + tail) for a tail far below x, x in the range of [`exp`].
#[cfg_attr(target_pointer_width = "64", inline(always))]
#[cfg_attr(not(target_pointer_width = "64"), inline(never))]
fn exp_with_tail(x: f32, tail: f32) -> f32 {
    let x = clip(x, -104.0, 89.0);
    let shifted = x * core::f32::consts::LOG2_E + MAGIC;
    let n = (shifted.to_bits() as i32).wrapping_sub(MAGIC.to_bits() as i32);
    let f = shifted - MAGIC;
    // ln 2 in two parts, the first short enough for an exact product.
    let r = x - f * 0.693_359_375;
    let r = r + f * 2.121_944_4e-4 + tail;
    // Polynomial of Cephes `expf` (S. L. Moshier).
    let mut p = 1.987_569_15e-4;
    p = p * r + 1.398_199_950_7e-3;
    p = p * r + 8.333_451_907_3e-3;
    p = p * r + 4.166_579_589_4e-2;
    p = p * r + 1.666_666_545_9e-1;
    p = p * r + 5.000_000_120_1e-1;
    let y = p * (r * r) + r + 1.0;
    // In two steps, so that results below the normal range round once, and those above it overflow.
    let half = n >> 1;
    y * power_of_two(half) * power_of_two(n.wrapping_sub(half))
}

/// e^x. Error below 1 ulp; below -103.98 zero, above 88.73 infinity.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    exp_with_tail(x, 0.0)
}

/// Mantissa in [sqrt(1/2), sqrt(2)) and exponent of a positive number, subnormal or not.
#[cfg_attr(target_pointer_width = "64", inline(always))]
#[cfg_attr(not(target_pointer_width = "64"), inline(never))]
fn split_exponent(x: f32) -> (f32, f32) {
    let tiny = x < f32::MIN_POSITIVE;
    let scaled = if tiny { x * 8_388_608.0 } else { x };
    let offset = if tiny { 127 + 23 } else { 127 };
    // 0x3F3504F3 is sqrt(1/2).
    let bits = scaled.to_bits().wrapping_add(0x3F80_0000 - 0x3F35_04F3);
    let exponent = ((bits >> 23) as i32).wrapping_sub(offset);
    let mantissa = f32::from_bits((bits & 0x007F_FFFF).wrapping_add(0x3F35_04F3));
    (mantissa, exponent as f32)
}

/// Natural logarithm. Error below 1 ulp; zero gives minus infinity, negative numbers NaN.
#[cfg_attr(target_pointer_width = "64", inline(always))]
#[cfg_attr(not(target_pointer_width = "64"), inline(never))]
pub(crate) fn log(x: f32) -> f32 {
    let (mantissa, k) = split_exponent(x);
    // Remez fit of FreeBSD `e_logf.c` (Sun Microsystems).
    let f = mantissa - 1.0;
    let s = f / (2.0 + f);
    let z = s * s;
    let w = z * z;
    let t1 = w * (0.400_009_721_52 + w * 0.242_790_788_41);
    let t2 = z * (0.666_666_626_93 + w * 0.284_987_866_88);
    let r = t2 + t1;
    let half_square = 0.5 * f * f;
    let y = s * (half_square + r) + k * 9.058_000_614_5e-6 - half_square + f + k * 6.931_381_225_6e-1;
    let y = if x == f32::INFINITY { x } else { y };
    let y = if x == 0.0 { f32::NEG_INFINITY } else { y };
    // Negative or NaN.
    if x >= 0.0 { y } else { f32::NAN }
}

/// `a + b` and what rounding lost (Knuth).
#[inline(always)]
fn two_sum(a: f32, b: f32) -> (f32, f32) {
    let sum = a + b;
    let b_seen = sum - a;
    (sum, (a - (sum - b_seen)) + (b - b_seen))
}

/// `a * b` and what rounding lost (Dekker, Veltkamp's split): no fused operation needed.
#[inline(always)]
fn two_product(a: f32, b: f32) -> (f32, f32) {
    let split = |x: f32| {
        let c = x * 4097.0;
        let high = c - (c - x);
        (high, x - high)
    };
    let product = a * b;
    let (ah, al) = split(a);
    let (bh, bl) = split(b);
    (product, ((ah * bh - product) + ah * bl + al * bh) + al * bl)
}

/// `a^b` as IEEE 754 `pow`, but that NaN in either gives NaN. Error up to 2 ulp.
#[cfg_attr(target_pointer_width = "64", inline(always))]
#[cfg_attr(not(target_pointer_width = "64"), inline(never))]
pub(super) fn pow(a: f32, b: f32) -> f32 {
    let base = a.abs();
    // ln(base) as a sum of two numbers.
    let (mantissa, k) = split_exponent(base);
    let f = mantissa - 1.0;
    // Polynomial of Cephes `logf`.
    let mut p = 7.037_683_629_2e-2;
    p = p * f - 1.151_461_031_0e-1;
    p = p * f + 1.167_699_874_0e-1;
    p = p * f - 1.242_014_084_6e-1;
    p = p * f + 1.424_932_278_7e-1;
    p = p * f - 1.666_805_766_5e-1;
    p = p * f + 2.000_071_476_5e-1;
    p = p * f - 2.499_999_399_3e-1;
    p = p * f + 3.333_333_117_4e-1;
    let (square, square_low) = two_product(f, f);
    let (high, low_1) = two_sum(k * 0.693_359_375, f);
    let (high, low_2) = two_sum(high, -0.5 * square);
    let low = f * square * p - 0.5 * square_low + low_1 + low_2 - k * 2.121_944_4e-4;
    let (high, low) = two_sum(high, low);

    let (exponent, exponent_low) = two_product(high, b);
    let tail = exponent_low + low * b;
    // Far out the tail does not matter and may be NaN.
    let inside = exponent.abs() < 104.0;
    let y = exp_with_tail(exponent, if inside { tail } else { 0.0 });

    let b_magnitude = b.abs();
    // Past 2^24 every number is even; below, rounding to an integer and to an even one shows what b is.
    let whole = b_magnitude >= 8_388_608.0 || (b_magnitude + 8_388_608.0) - 8_388_608.0 == b_magnitude;
    let half = 0.5 * b_magnitude;
    let even = b_magnitude >= 16_777_216.0 || (half + 8_388_608.0) - 8_388_608.0 == half;
    let limit = if b > 0.0 { base } else { 1.0 / base };
    let y = if base == 0.0 || base == f32::INFINITY { limit } else { y };
    let y = if base == 1.0 || b == 0.0 { 1.0 } else { y };
    let negative = a.is_sign_negative();
    let y = if negative && whole && !even { -y } else { y };
    let y = if negative && !whole && base != 0.0 && base != f32::INFINITY {
        f32::NAN
    } else {
        y
    };
    if a.is_nan() || b.is_nan() { f32::NAN } else { y }
}

/// Octant-free reduction of an angle: the rest in [-pi/4, pi/4] and the number of quarter turns.
#[cfg_attr(target_pointer_width = "64", inline(always))]
#[cfg_attr(not(target_pointer_width = "64"), inline(never))]
fn reduce_angle(x: f32) -> (f32, i32) {
    let shifted = x * core::f32::consts::FRAC_2_PI + MAGIC;
    let quadrant = (shifted.to_bits() as i32).wrapping_sub(MAGIC.to_bits() as i32);
    let k = shifted - MAGIC;
    // Cody and Waite: pi / 2 in three parts, the first two short enough for exact products up to k = 2^13.
    let r = x - k * 1.570_312_5;
    let r = r - k * 4.837_512_969_970_703_125e-4;
    let r = r - k * 7.549_789_948_768_648e-8;
    // A little past pi/4 where the quarter turn was rounded the other way. Past the stated range of angles this keeps the
    // result in [-1, 1].
    (clip(r, -0.787, 0.787), quadrant)
}

/// Sine of `r` in [-pi/4, pi/4], polynomial of Cephes `sinf`.
#[inline(always)]
fn sin_kernel(r: f32, z: f32) -> f32 {
    let p = (-1.951_529_589_1e-4 * z + 8.332_160_873_6e-3) * z - 1.666_665_461_1e-1;
    p * z * r + r
}

/// Cosine of `r` in [-pi/4, pi/4], polynomial of Cephes `cosf`.
#[inline(always)]
fn cos_kernel(z: f32) -> f32 {
    let p = (2.443_315_711_809_948e-5 * z - 1.388_731_625_493_765e-3) * z + 4.166_664_568_298_827e-2;
    p * z * z - 0.5 * z + 1.0
}

/// Sine or cosine, `quadrant` quarter turns on.
#[inline(always)]
fn turn(r: f32, quadrant: i32) -> f32 {
    let z = r * r;
    let y = if quadrant & 1 == 0 {
        sin_kernel(r, z)
    } else {
        cos_kernel(z)
    };
    f32::from_bits(y.to_bits() ^ (((quadrant as u32) & 2) << 30))
}

/// Sine. Absolute error below 1.2e-7 for |x| up to 12867 (2^13 quarter turns); past that it grows, the result stays in [-1, 1].
/// NaN for infinities.
#[inline(always)]
pub(crate) fn sin(x: f32) -> f32 {
    let (r, quadrant) = reduce_angle(x);
    turn(r, quadrant)
}

/// Cosine; as [`sin`].
#[inline(always)]
pub(crate) fn cos(x: f32) -> f32 {
    let (r, quadrant) = reduce_angle(x);
    turn(r, quadrant.wrapping_add(1))
}

/// Hyperbolic tangent: rational approximation (coefficients of Eigen and XLA), absolute error below
/// 4.5e-7, up to 7 ulp also near zero, never past 1.
#[inline(always)]
pub(super) fn tanh(x: f32) -> f32 {
    let x = clip(x, -7.905_311, 7.905_311);
    let z = x * x;
    let mut p = -2.760_768_5e-16;
    p = p * z + 2.000_188e-13;
    p = p * z - 8.604_672e-11;
    p = p * z + 5.122_297e-8;
    p = p * z + 1.485_722_4e-5;
    p = p * z + 6.372_619e-4;
    p = p * z + 4.893_524_6e-3;
    let mut q = 1.198_258_4e-6;
    q = q * z + 1.185_347_1e-4;
    q = q * z + 2.268_434_6e-3;
    q = q * z + 4.893_525e-3;
    x * p / q
}

/// Logistic function as `0.5 tanh(0.5 x) + 0.5`: absolute error below 3e-7.
#[inline(always)]
pub(super) fn sigmoid(x: f32) -> f32 {
    0.5 * tanh(0.5 * x) + 0.5
}

/// `log(1 + e^x)` as `max(x, 0) + log(1 + e^-|x|)`: absolute error below 2e-7 for x up to 1, then 2 ulp.
#[inline(always)]
pub(super) fn softplus(x: f32) -> f32 {
    relu(x) + log(1.0 + exp(-x.abs()))
}

/// Square root, correctly rounded.
#[inline(always)]
pub(crate) fn sqrt(x: f32) -> f32 {
    // All three give the same result; the method of `std` and the Arm core's are one instruction.
    #[cfg(feature = "std")]
    return x.sqrt();
    #[cfg(all(not(feature = "std"), target_arch = "arm", target_abi = "eabihf"))]
    return super::arch::sqrt(x);
    #[cfg(not(any(feature = "std", all(target_arch = "arm", target_abi = "eabihf"))))]
    libm::sqrtf(x)
}
