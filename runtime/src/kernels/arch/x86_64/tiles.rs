//! Register tiles of matrix products with vectors in so many words: the compiler does not keep arrays of arrays in
//! vector registers by itself. The order of operations is that of the portable tiles, so are the bits.

use core::arch::x86_64::{__m256, _mm256_permute2f128_ps, _mm256_shuffle_ps, _mm256_unpackhi_ps, _mm256_unpacklo_ps};

use crate::kernels::arithmetic::Ops;
use crate::kernels::copy::{BLOCK, Blocks};
use crate::kernels::matmul::{Product, Start, Tiles, portable_tile, tiles, widest};

macro_rules! vector_tile {
    ($(#[$doc:meta])* $module:ident, $features:literal, $vector:ident, $lanes:literal, $splat:ident, $mul:ident, $add:ident, $fma:ident) => {
        $(#[$doc])*
        mod $module {
            use core::arch::x86_64::{$add, $fma, $mul, $splat, $vector};

            use super::{Ops, Product, Start};

            /// `VECTORS` vectors from the front of `values`.
            #[inline]
            #[target_feature(enable = $features)]
            fn load<const VECTORS: usize>(values: &[f32], at: usize) -> Option<[$vector; VECTORS]> {
                let chunks = values.get(at..)?.get(..VECTORS * $lanes)?.as_chunks::<$lanes>().0;
                let mut vectors = [$splat(0.0); VECTORS];
                for (vector, chunk) in vectors.iter_mut().zip(chunks) {
                    *vector = bytemuck::must_cast(*chunk);
                }
                Some(vectors)
            }

            /// `sum + a * b`.
            #[inline]
            #[target_feature(enable = $features)]
            fn add_product<O: Ops>(sum: $vector, a: $vector, b: $vector) -> $vector {
                if O::FUSED { $fma(a, b, sum) } else { $add(sum, $mul(a, b)) }
            }

            /// Computes one tile; see `portable_tile`.
            #[target_feature(enable = $features)]
            pub(super) fn tile<O: Ops, const ROWS: usize, const VECTORS: usize, const TRANSPOSED: bool>(
                p: &Product<'_>,
                row: usize,
                column: usize,
                out: &mut [f32],
            ) -> Option<()> {
                let mut sums = [[$splat(0.0); VECTORS]; ROWS];
                match p.start {
                    Start::Zero => {}
                    Start::Bias(bias) => sums = [load(bias, column)?; ROWS],
                    Start::Output => {
                        let mut at = row.wrapping_mul(p.n).wrapping_add(column);
                        for sums in &mut sums {
                            *sums = load(out, at)?;
                            at = at.wrapping_add(p.n);
                        }
                    }
                }
                let mut w_at = column;
                let mut a_rows: [&[f32]; ROWS] = [&[]; ROWS];
                let mut a_at = row;
                if !TRANSPOSED {
                    let mut at = row.wrapping_mul(p.a_row);
                    for a in &mut a_rows {
                        *a = p.a.get(at..)?.get(..p.depth)?;
                        at = at.wrapping_add(p.a_row);
                    }
                }
                if ROWS == 1 && !TRANSPOSED && p.w_row == VECTORS * $lanes {
                    // As wide as the tile: the rows of `w` follow one another, and nothing has to be checked on the way.
                    // Two terms at a time, in two sums each where the order is free: one waits for the other's addition.
                    let (w_rows, _) = p.w.as_chunks::<$lanes>().0.as_chunks::<VECTORS>();
                    let (w_pairs, _) = w_rows.as_chunks::<2>();
                    let (a_pairs, a_last) = a_rows[0].as_chunks::<2>();
                    let mut others = [$splat(0.0); VECTORS];
                    for ([w0, w1], &[a0, a1]) in w_pairs.iter().zip(a_pairs) {
                        let (a0, a1) = ($splat(a0), $splat(a1));
                        for v in 0..VECTORS {
                            sums[0][v] = add_product::<O>(sums[0][v], a0, bytemuck::must_cast(w0[v]));
                            if O::REASSOCIATE {
                                others[v] = add_product::<O>(others[v], a1, bytemuck::must_cast(w1[v]));
                            } else {
                                sums[0][v] = add_product::<O>(sums[0][v], a1, bytemuck::must_cast(w1[v]));
                            }
                        }
                    }
                    if O::REASSOCIATE {
                        for v in 0..VECTORS {
                            sums[0][v] = $add(sums[0][v], others[v]);
                        }
                    }
                    if let [a] = a_last {
                        let w = w_rows.get(p.depth.wrapping_sub(1))?;
                        for v in 0..VECTORS {
                            sums[0][v] = add_product::<O>(sums[0][v], $splat(*a), bytemuck::must_cast(w[v]));
                        }
                    }
                } else {
                    for term in 0..p.depth {
                        let w: [$vector; VECTORS] = load(p.w, w_at)?;
                        let a_column: &[f32; ROWS] = if TRANSPOSED { p.a.get(a_at..)?.first_chunk()? } else { &[0.0; ROWS] };
                        for i in 0..ROWS {
                            let a = $splat(if TRANSPOSED { a_column[i] } else { *a_rows[i].get(term)? });
                            for v in 0..VECTORS {
                                sums[i][v] = add_product::<O>(sums[i][v], a, w[v]);
                            }
                        }
                        w_at = w_at.wrapping_add(p.w_row);
                        a_at = a_at.wrapping_add(p.a_row);
                    }
                }
                let mut at = row.wrapping_mul(p.n).wrapping_add(column);
                for sums in &sums {
                    let chunks = out.get_mut(at..)?.get_mut(..VECTORS * $lanes)?.as_chunks_mut::<$lanes>().0;
                    for (to, sum) in chunks.iter_mut().zip(sums) {
                        *to = bytemuck::must_cast(*sum);
                    }
                    at = at.wrapping_add(p.n);
                }
                Some(())
            }
        }
    };
}

vector_tile!(
    /// AVX-512: 32 registers of 16 values.
    avx512_16, "avx2,fma,avx512f,avx512bw,avx512dq,avx512vl", __m512, 16,
    _mm512_set1_ps, _mm512_mul_ps, _mm512_add_ps, _mm512_fmadd_ps
);
vector_tile!(
    /// AVX-512: 32 registers of 8 values.
    avx512_8, "avx2,fma,avx512f,avx512bw,avx512dq,avx512vl", __m256, 8,
    _mm256_set1_ps, _mm256_mul_ps, _mm256_add_ps, _mm256_fmadd_ps
);
vector_tile!(
    /// AVX-512: 32 registers of 4 values.
    avx512_4, "avx2,fma,avx512f,avx512bw,avx512dq,avx512vl", __m128, 4,
    _mm_set1_ps, _mm_mul_ps, _mm_add_ps, _mm_fmadd_ps
);
vector_tile!(
    /// AVX2: 16 registers of 8 values.
    avx2_8, "avx2,fma", __m256, 8, _mm256_set1_ps, _mm256_mul_ps, _mm256_add_ps, _mm256_fmadd_ps
);
vector_tile!(
    /// AVX2: 16 registers of 4 values.
    avx2_4, "avx2,fma", __m128, 4, _mm_set1_ps, _mm_mul_ps, _mm_add_ps, _mm_fmadd_ps
);

macro_rules! detected {
    ($call:expr) => {
        // SAFETY: these tiles are only part of kernel sets that run where `has_avx2` or `has_avx512` has found every
        // feature the tile is compiled for.
        #[allow(unused_unsafe)] // Narrow tiles are safe functions.
        unsafe {
            $call
        }
    };
}

tiles! {
    /// Thirty-two registers of sixteen values.
    Wide16, detected {
        single {
            1 = portable_tile => 1, 2 = portable_tile => 2, 4 = avx512_4::tile => 1, 8 = avx512_8::tile => 1, 16 = avx512_16::tile => 1,
            32 = avx512_16::tile => 2, 64 = avx512_16::tile => 4, 128 = avx512_16::tile => 8
        }
        many {
            1 = portable_tile => 1: [8, 1],
            2 = portable_tile => 2: [8, 1],
            4 = avx512_4::tile => 1: [8, 1],
            8 = avx512_8::tile => 1: [8, 1],
            16 = avx512_16::tile => 1: [8, 4, 2, 1],
            32 = avx512_16::tile => 2: [8, 4, 2, 1],
            48 = avx512_16::tile => 3: [8, 4, 2, 1]
        }
    }
}

tiles! {
    /// Sixteen registers of eight values.
    Wide8, detected {
        single {
            1 = portable_tile => 1, 2 = portable_tile => 2, 4 = avx2_4::tile => 1, 8 = avx2_8::tile => 1, 16 = avx2_8::tile => 2,
            32 = avx2_8::tile => 4, 64 = avx2_8::tile => 8
        }
        many {
            1 = portable_tile => 1: [4, 1],
            2 = portable_tile => 2: [4, 1],
            4 = avx2_4::tile => 1: [8, 1],
            8 = avx2_8::tile => 1: [8, 1],
            16 = avx2_8::tile => 2: [4, 1],
            24 = avx2_8::tile => 3: [4, 1]
        }
    }
}

/// A block of eight rows and columns turned over: pairs of elements, then pairs of pairs, then halves.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn transposed(block: [[f32; BLOCK]; BLOCK]) -> [[f32; BLOCK]; BLOCK] {
    let [r0, r1, r2, r3, r4, r5, r6, r7]: [__m256; BLOCK] = block.map(bytemuck::must_cast);
    let (a0, a1) = (_mm256_unpacklo_ps(r0, r1), _mm256_unpackhi_ps(r0, r1));
    let (a2, a3) = (_mm256_unpacklo_ps(r2, r3), _mm256_unpackhi_ps(r2, r3));
    let (a4, a5) = (_mm256_unpacklo_ps(r4, r5), _mm256_unpackhi_ps(r4, r5));
    let (a6, a7) = (_mm256_unpacklo_ps(r6, r7), _mm256_unpackhi_ps(r6, r7));
    let (b0, b1) = (_mm256_shuffle_ps::<0x44>(a0, a2), _mm256_shuffle_ps::<0xEE>(a0, a2));
    let (b2, b3) = (_mm256_shuffle_ps::<0x44>(a1, a3), _mm256_shuffle_ps::<0xEE>(a1, a3));
    let (b4, b5) = (_mm256_shuffle_ps::<0x44>(a4, a6), _mm256_shuffle_ps::<0xEE>(a4, a6));
    let (b6, b7) = (_mm256_shuffle_ps::<0x44>(a5, a7), _mm256_shuffle_ps::<0xEE>(a5, a7));
    [
        _mm256_permute2f128_ps::<0x20>(b0, b4),
        _mm256_permute2f128_ps::<0x20>(b1, b5),
        _mm256_permute2f128_ps::<0x20>(b2, b6),
        _mm256_permute2f128_ps::<0x20>(b3, b7),
        _mm256_permute2f128_ps::<0x31>(b0, b4),
        _mm256_permute2f128_ps::<0x31>(b1, b5),
        _mm256_permute2f128_ps::<0x31>(b2, b6),
        _mm256_permute2f128_ps::<0x31>(b3, b7),
    ]
    .map(bytemuck::must_cast)
}

impl Blocks for Wide8 {
    #[inline(always)]
    fn transposed(block: [[f32; BLOCK]; BLOCK]) -> [[f32; BLOCK]; BLOCK] {
        detected!(transposed(block))
    }
}

impl Blocks for Wide16 {
    #[inline(always)]
    fn transposed(block: [[f32; BLOCK]; BLOCK]) -> [[f32; BLOCK]; BLOCK] {
        detected!(transposed(block))
    }
}
