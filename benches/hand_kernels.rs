//! The hand-written reference: plain safe Rust with fixed sizes and fused multiply-add, one function per network.
//! It is what a careful engineer would write for exactly this policy, and the mark the plan executor is measured by.
//!
//! Weights are stored input-major (`[in][out]`) so that the inner loop runs over outputs. Callers compile it for the
//! processor at hand through [`dispatched`].
#![allow(
    missing_docs,
    clippy::manual_memcpy,
    clippy::needless_range_loop,
    clippy::suboptimal_flops,
    unreachable_pub
)]

/// xorshift64, uniform in [-1, 1).
pub struct Rng(pub u64);
impl Rng {
    pub fn f(&mut self) -> f32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        ((self.0 >> 40) as f32 / (1u64 << 24) as f32) * 2.0 - 1.0
    }
}
/// Rational tanh (Eigen and XLA coefficients), absolute error 2.4e-7: vectorises, where the standard library's does not.
#[inline(always)]
fn tanh_fast(x0: f32) -> f32 {
    let x = x0.clamp(-7.905_311, 7.905_311);
    let x2 = x * x;
    let mut p = -2.760_768_5e-16f32;
    p = p.mul_add(x2, 2.000_188e-13);
    p = p.mul_add(x2, -8.604_672e-11);
    p = p.mul_add(x2, 5.122_297e-8);
    p = p.mul_add(x2, 1.485_722_4e-5);
    p = p.mul_add(x2, 6.372_619e-4);
    p = p.mul_add(x2, 4.893_524_6e-3);
    let num = x * p;
    let mut q = 1.198_258_4e-6f32;
    q = q.mul_add(x2, 1.185_347_1e-4);
    q = q.mul_add(x2, 2.268_434_6e-3);
    q = q.mul_add(x2, 4.893_525e-3);
    num / q
}
#[inline(always)]
fn sig_fast(x: f32) -> f32 {
    0.5 * tanh_fast(0.5 * x) + 0.5
}
#[inline(always)]
fn dense<const I: usize, const O: usize>(w: &[[f32; O]; I], b: &[f32; O], x: &[f32; I], y: &mut [f32; O]) {
    let mut a = *b;
    for i in 0..I {
        let xi = x[i];
        let wi = &w[i];
        for o in 0..O {
            a[o] = wi[o].mul_add(xi, a[o]);
        }
    }
    *y = a;
}
pub struct Mlp<const I: usize, const H: usize, const O: usize> {
    pub w1: [[f32; H]; I],
    pub b1: [f32; H],
    pub w2: [[f32; H]; H],
    pub b2: [f32; H],
    pub w3: [[f32; O]; H],
    pub b3: [f32; O],
}
pub fn fill<const A: usize, const B: usize>(r: &mut Rng, s: f32) -> [[f32; B]; A] {
    let mut w = [[0.0; B]; A];
    for a in w.iter_mut() {
        for v in a.iter_mut() {
            *v = r.f() * s;
        }
    }
    w
}
impl<const I: usize, const H: usize, const O: usize> Mlp<I, H, O> {
    /// Random weights.
    pub fn new(r: &mut Rng) -> Box<Self> {
        let s1 = 1.0 / (I as f32).sqrt();
        let s2 = 1.0 / (H as f32).sqrt();
        Box::new(Mlp {
            w1: fill(r, s1),
            b1: [0.01; H],
            w2: fill(r, s2),
            b2: [0.01; H],
            w3: fill(r, s2),
            b3: [0.0; O],
        })
    }
    #[inline(always)]
    pub fn fwd_tanh(&self, x: &[f32; I], y: &mut [f32; O]) {
        let mut h = [0.0; H];
        let mut g = [0.0; H];
        dense(&self.w1, &self.b1, x, &mut h);
        for v in h.iter_mut() {
            *v = tanh_fast(*v);
        }
        dense(&self.w2, &self.b2, &h, &mut g);
        for v in g.iter_mut() {
            *v = tanh_fast(*v);
        }
        dense(&self.w3, &self.b3, &g, y);
    }
    #[inline(always)]
    pub fn fwd_tanh_libm(&self, x: &[f32; I], y: &mut [f32; O]) {
        let mut h = [0.0; H];
        let mut g = [0.0; H];
        dense(&self.w1, &self.b1, x, &mut h);
        for v in h.iter_mut() {
            *v = v.tanh();
        }
        dense(&self.w2, &self.b2, &h, &mut g);
        for v in g.iter_mut() {
            *v = v.tanh();
        }
        dense(&self.w3, &self.b3, &g, y);
    }
    #[inline(always)]
    pub fn fwd_relu(&self, x: &[f32; I], y: &mut [f32; O]) {
        let mut h = [0.0; H];
        let mut g = [0.0; H];
        dense(&self.w1, &self.b1, x, &mut h);
        for v in h.iter_mut() {
            *v = v.max(0.0);
        }
        dense(&self.w2, &self.b2, &h, &mut g);
        for v in g.iter_mut() {
            *v = v.max(0.0);
        }
        dense(&self.w3, &self.b3, &g, y);
    }
}
pub struct Gru {
    pub w1: [[f32; 16]; 22],
    pub b1: [f32; 16],
    pub wi: [[f32; 48]; 16],
    pub bi: [f32; 48],
    pub wh: [[f32; 48]; 16],
    pub bh: [f32; 48],
    pub w3: [[f32; 4]; 16],
    pub b3: [f32; 4],
}
impl Gru {
    #[inline(always)]
    pub fn step(&self, x: &[f32; 22], h: &mut [f32; 16], y: &mut [f32; 4]) {
        let mut a = [0.0; 16];
        dense(&self.w1, &self.b1, x, &mut a);
        for v in a.iter_mut() {
            *v = v.max(0.0);
        }
        let mut gi = [0.0; 48];
        let mut gh = [0.0; 48];
        dense(&self.wi, &self.bi, &a, &mut gi);
        dense(&self.wh, &self.bh, h, &mut gh);
        for k in 0..16 {
            let r = sig_fast(gi[k] + gh[k]);
            let z = sig_fast(gi[16 + k] + gh[16 + k]);
            let n = tanh_fast(gi[32 + k] + r * gh[32 + k]);
            h[k] = (1.0 - z) * n + z * h[k];
        }
        let hh = *h;
        dense(&self.w3, &self.b3, &hh, y);
    }
}
// ---- training: 16-64-64-4 tanh, batch 32, MSE, SGD ----
pub const B: usize = 32;
pub const I: usize = 16;
pub const H: usize = 64;
pub const O: usize = 4;
pub struct Scratch {
    pub h1: [[f32; H]; B],
    pub h2: [[f32; H]; B],
    pub y: [[f32; O]; B],
    pub d3: [[f32; O]; B],
    pub d2: [[f32; H]; B],
    pub d1: [[f32; H]; B],
    pub w2t: [[f32; H]; H],
    pub g1: [[f32; H]; I],
    pub g2: [[f32; H]; H],
    pub g3: [[f32; O]; H],
}
// forward, 4 batch rows at a time sharing each weight row
#[inline(always)]
fn fwd_b<const A: usize, const C: usize>(w: &[[f32; C]; A], b: &[f32; C], x: &[[f32; A]; B], y: &mut [[f32; C]; B]) {
    for r in (0..B).step_by(4) {
        let mut a = [*b; 4];
        for i in 0..A {
            let wi = &w[i];
            for k in 0..4 {
                let xi = x[r + k][i];
                for o in 0..C {
                    a[k][o] = wi[o].mul_add(xi, a[k][o]);
                }
            }
        }
        for k in 0..4 {
            y[r + k] = a[k];
        }
    }
}
// gradient g[i][o] = sum_r x[r][i]*d[r][o], 4 rows of g at a time held in registers
#[inline(always)]
fn grad<const A: usize, const C: usize>(x: &[[f32; A]; B], d: &[[f32; C]; B], g: &mut [[f32; C]; A]) {
    for i in (0..A).step_by(4) {
        let mut a = [[0.0f32; C]; 4];
        for r in 0..B {
            let dr = &d[r];
            for k in 0..4 {
                let xi = x[r][i + k];
                for o in 0..C {
                    a[k][o] = dr[o].mul_add(xi, a[k][o]);
                }
            }
        }
        for k in 0..4 {
            g[i + k] = a[k];
        }
    }
}
#[inline(always)]
pub fn train(m: &mut Mlp<I, H, O>, s: &mut Scratch, x: &[[f32; I]; B], t: &[[f32; O]; B], lr: f32) {
    fwd_b(&m.w1, &m.b1, x, &mut s.h1);
    for r in s.h1.iter_mut() {
        for v in r.iter_mut() {
            *v = tanh_fast(*v);
        }
    }
    fwd_b(&m.w2, &m.b2, &s.h1, &mut s.h2);
    for r in s.h2.iter_mut() {
        for v in r.iter_mut() {
            *v = tanh_fast(*v);
        }
    }
    fwd_b(&m.w3, &m.b3, &s.h2, &mut s.y);
    let c = 2.0 / (B * O) as f32;
    for r in 0..B {
        for o in 0..O {
            s.d3[r][o] = c * (s.y[r][o] - t[r][o]);
        }
    }
    // d2 = d3 * w3^T .* (1-h2^2)
    let mut w3t = [[0.0f32; H]; O];
    for i in 0..H {
        for o in 0..O {
            w3t[o][i] = m.w3[i][o];
        }
    }
    for r in 0..B {
        let mut a = [0.0f32; H];
        for o in 0..O {
            let d = s.d3[r][o];
            for i in 0..H {
                a[i] = w3t[o][i].mul_add(d, a[i]);
            }
        }
        for i in 0..H {
            let h = s.h2[r][i];
            s.d2[r][i] = a[i] * (1.0 - h * h);
        }
    }
    for i in 0..H {
        for j in 0..H {
            s.w2t[j][i] = m.w2[i][j];
        }
    }
    fwd_b(&s.w2t, &[0.0; H], &s.d2, &mut s.d1);
    for r in 0..B {
        for i in 0..H {
            let h = s.h1[r][i];
            s.d1[r][i] *= 1.0 - h * h;
        }
    }
    grad(&s.h2, &s.d3, &mut s.g3);
    grad(&s.h1, &s.d2, &mut s.g2);
    grad(x, &s.d1, &mut s.g1);
    for i in 0..H {
        for o in 0..O {
            m.w3[i][o] -= lr * s.g3[i][o];
        }
    }
    for i in 0..H {
        for o in 0..H {
            m.w2[i][o] -= lr * s.g2[i][o];
        }
    }
    for i in 0..I {
        for o in 0..H {
            m.w1[i][o] -= lr * s.g1[i][o];
        }
    }
    for r in 0..B {
        for o in 0..O {
            m.b3[o] -= lr * s.d3[r][o];
        }
        for o in 0..H {
            m.b2[o] -= lr * s.d2[r][o];
            m.b1[o] -= lr * s.d1[r][o];
        }
    }
}

impl Gru {
    pub fn new(r: &mut Rng) -> Box<Self> {
        Box::new(Gru {
            w1: fill(r, 0.2),
            b1: [0.01; 16],
            wi: fill(r, 0.25),
            bi: [0.01; 48],
            wh: fill(r, 0.25),
            bh: [0.01; 48],
            w3: fill(r, 0.25),
            b3: [0.0; 4],
        })
    }
}
impl Scratch {
    pub fn new() -> Box<Self> {
        Box::new(Scratch {
            h1: [[0.0; H]; B],
            h2: [[0.0; H]; B],
            y: [[0.0; O]; B],
            d3: [[0.0; O]; B],
            d2: [[0.0; H]; B],
            d1: [[0.0; H]; B],
            w2t: [[0.0; H]; H],
            g1: [[0.0; H]; I],
            g2: [[0.0; H]; H],
            g3: [[0.0; O]; H],
        })
    }
}

/// The reference functions compiled for the widest instruction set this processor has.
pub mod dispatched {
    #![allow(unsafe_code)]
    use super::*;
    macro_rules! dispatched {
        ($name:ident($($arg:ident: $ty:ty),*) => $body:expr) => {
            #[inline(never)]
            pub fn $name($($arg: $ty),*) {
                #[cfg(target_arch = "x86_64")]
                {
                    #[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx2,fma")]
                    fn avx512($($arg: $ty),*) { $body }
                    #[target_feature(enable = "avx2,fma")]
                    fn avx2($($arg: $ty),*) { $body }
                    if is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512vl") && is_x86_feature_detected!("avx512bw") && is_x86_feature_detected!("avx512dq") {
                        // SAFETY: the features were just detected.
                        return unsafe { avx512($($arg),*) };
                    }
                    if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                        // SAFETY: the features were just detected.
                        return unsafe { avx2($($arg),*) };
                    }
                }
                $body
            }
        };
    }
    dispatched!(mlp_64_tanh(m: &Mlp<16, 64, 4>, x: &[f32; 16], y: &mut [f32; 4]) => m.fwd_tanh(x, y));
    dispatched!(mlp_256_relu(m: &Mlp<24, 256, 8>, x: &[f32; 24], y: &mut [f32; 8]) => m.fwd_relu(x, y));
    dispatched!(gru_step(m: &Gru, x: &[f32; 22], h: &mut [f32; 16], y: &mut [f32; 4]) => m.step(x, h, y));
    dispatched!(sgd_step(m: &mut Mlp<I, H, O>, s: &mut Scratch, x: &[[f32; I]; B], t: &[[f32; O]; B], rate: f32) => train(m, s, x, t, rate));
}
