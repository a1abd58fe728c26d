//! tmp
use crate::recipe::Activation;
use pliant_compiler::graph::{Graph, GraphError, ValueId};
/// tmp
pub fn parameters(sizes: &[usize]) -> Vec<(String, Vec<usize>)> {
    let mut all = Vec::new();
    for (layer, pair) in sizes.windows(2).enumerate() {
        all.push((format!("layer{layer}.weight"), vec![pair[0], pair[1]]));
        all.push((format!("layer{layer}.bias"), vec![pair[1]]));
    }
    all
}
/// tmp
pub fn forward(g: &mut Graph, p: &[ValueId], o: ValueId, activation: Activation) -> Result<ValueId, GraphError> {
    let mut x = o;
    let layers = p.len() / 2;
    for i in 0..layers {
        let m = g.matmul(x, p[2 * i])?;
        x = g.add(m, p[2 * i + 1])?;
        if i + 1 < layers {
            x = match activation {
                Activation::Tanh => g.tanh(x)?,
                Activation::Relu => g.relu(x)?,
            };
        }
    }
    Ok(x)
}
