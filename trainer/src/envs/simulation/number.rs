//! The numbers a simulation step is written with.
//!
//! A step is written once, over any [`Number`], and computed with whatever it is needed for: single numbers (`f32` to
//! fly one vehicle, `f64` as the reference), [`Lanes`] (instances side by side, which the compiler turns into vector
//! instructions), or [`Expression`](super::Expression)s, which build the graph that is differentiated.

use core::ops::{Add, Div, Mul, Neg, Sub};

/// Arithmetic of a simulation step. Comparisons give no truth values but select between two numbers, so that every
/// instance of a batch runs the same instructions.
pub trait Number:
    Copy
    + Neg<Output = Self>
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Add<f32, Output = Self>
    + Sub<f32, Output = Self>
    + Mul<f32, Output = Self>
{
    /// Square root.
    fn sqrt(self) -> Self;

    /// Sine of an angle in radians.
    fn sin(self) -> Self;

    /// Cosine of an angle in radians.
    fn cos(self) -> Self;

    /// Absolute value.
    fn abs(self) -> Self;

    /// The greater of two; NaN if either is.
    fn max(self, other: Self) -> Self;

    /// `max(self, 0)`.
    fn relu(self) -> Self;

    /// `then` where `self < limit`, otherwise `otherwise`, also where one is NaN. No derivative runs through the
    /// comparison.
    fn select_below(self, limit: Self, then: Self, otherwise: Self) -> Self;

    /// The same constant for every instance.
    fn constant_like(self, value: f32) -> Self;

    /// `self * self`.
    #[inline(always)]
    fn square(self) -> Self {
        self * self
    }
}

impl Number for f32 {
    #[inline(always)]
    fn sqrt(self) -> Self {
        self.sqrt()
    }
    #[inline(always)]
    fn sin(self) -> Self {
        libm::sinf(self)
    }
    #[inline(always)]
    fn cos(self) -> Self {
        libm::cosf(self)
    }
    #[inline(always)]
    fn abs(self) -> Self {
        self.abs()
    }
    #[inline(always)]
    fn max(self, other: Self) -> Self {
        // Written so that NaN on either side stays.
        if (self > other) | self.is_nan() { self } else { other }
    }
    #[inline(always)]
    fn relu(self) -> Self {
        Number::max(self, 0.0)
    }
    #[inline(always)]
    fn select_below(self, limit: Self, then: Self, otherwise: Self) -> Self {
        if self < limit { then } else { otherwise }
    }
    #[inline(always)]
    fn constant_like(self, value: f32) -> Self {
        value
    }
}

/// Double precision: what everything else is compared with.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Reference(pub f64);

impl Number for Reference {
    fn sqrt(self) -> Self {
        Self(self.0.sqrt())
    }
    fn sin(self) -> Self {
        Self(libm::sin(self.0))
    }
    fn cos(self) -> Self {
        Self(libm::cos(self.0))
    }
    fn abs(self) -> Self {
        Self(self.0.abs())
    }
    fn max(self, other: Self) -> Self {
        if self.0 > other.0 || self.0.is_nan() {
            self
        } else {
            other
        }
    }
    fn relu(self) -> Self {
        self.max(Self(0.0))
    }
    fn select_below(self, limit: Self, then: Self, otherwise: Self) -> Self {
        if self.0 < limit.0 { then } else { otherwise }
    }
    fn constant_like(self, value: f32) -> Self {
        Self(value.into())
    }
}

/// `values`, each replaced by the function's value at its index. As [`core::array::from_fn`], but a plain loop with one call:
/// what that is built of is not always inlined, and is then compiled for the baseline instruction set and called through
/// memory.
#[inline(always)]
pub(crate) fn replaced<T, const N: usize>(mut values: [T; N], function: impl Fn(usize) -> T) -> [T; N] {
    for (index, value) in values.iter_mut().enumerate() {
        *value = function(index);
    }
    values
}

/// Instances side by side.
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(align(64))]
pub struct Lanes(pub [f32; Lanes::COUNT]);

impl Lanes {
    /// Instances in one.
    pub const COUNT: usize = 16;

    /// The first instances of `values`, at most [`Self::COUNT`]; the rest is 0.
    #[inline(always)]
    pub fn load(values: &[f32]) -> Self {
        if let Some(whole) = values.first_chunk() {
            return Self(*whole);
        }
        let mut lanes = [0.0; Self::COUNT];
        lanes[..values.len()].copy_from_slice(values);
        Self(lanes)
    }

    /// Writes as many instances as `values` holds, at most [`Self::COUNT`].
    #[inline(always)]
    pub fn store(self, values: &mut [f32]) {
        match values.first_chunk_mut() {
            Some(whole) => *whole = self.0,
            None => values.copy_from_slice(&self.0[..values.len()]),
        }
    }

    #[inline(always)]
    fn map(self, function: impl Fn(f32) -> f32) -> Self {
        Self(replaced(self.0, |lane| function(self.0[lane])))
    }

    #[inline(always)]
    fn zip(self, other: Self, function: impl Fn(f32, f32) -> f32) -> Self {
        Self(replaced(self.0, |lane| function(self.0[lane], other.0[lane])))
    }
}

impl Number for Lanes {
    #[inline(always)]
    fn sqrt(self) -> Self {
        self.map(f32::sqrt)
    }
    #[inline(always)]
    fn sin(self) -> Self {
        self.map(libm::sinf)
    }
    #[inline(always)]
    fn cos(self) -> Self {
        self.map(libm::cosf)
    }
    #[inline(always)]
    fn abs(self) -> Self {
        self.map(f32::abs)
    }
    #[inline(always)]
    fn max(self, other: Self) -> Self {
        self.zip(other, Number::max)
    }
    #[inline(always)]
    fn relu(self) -> Self {
        self.map(Number::relu)
    }
    #[inline(always)]
    fn select_below(self, limit: Self, then: Self, otherwise: Self) -> Self {
        Self(replaced(self.0, |lane| {
            self.0[lane].select_below(limit.0[lane], then.0[lane], otherwise.0[lane])
        }))
    }
    #[inline(always)]
    fn constant_like(self, value: f32) -> Self {
        Self([value; Self::COUNT])
    }
}

macro_rules! operators {
    ($($trait:ident::$method:ident $operator:tt),+) => {$(
        impl $trait for Reference {
            type Output = Self;
            fn $method(self, other: Self) -> Self {
                Self(self.0 $operator other.0)
            }
        }
        impl $trait<f32> for Reference {
            type Output = Self;
            fn $method(self, other: f32) -> Self {
                Self(self.0 $operator f64::from(other))
            }
        }
        impl $trait for Lanes {
            type Output = Self;
            #[inline(always)]
            fn $method(self, other: Self) -> Self {
                self.zip(other, |a, b| a $operator b)
            }
        }
        impl $trait<f32> for Lanes {
            type Output = Self;
            #[inline(always)]
            fn $method(self, other: f32) -> Self {
                self.map(|a| a $operator other)
            }
        }
    )+};
}

operators!(Add::add +, Sub::sub -, Mul::mul *, Div::div /);

impl Neg for Reference {
    type Output = Self;
    fn neg(self) -> Self {
        Self(-self.0)
    }
}

impl Neg for Lanes {
    type Output = Self;
    #[inline(always)]
    fn neg(self) -> Self {
        self.map(|a| -a)
    }
}
