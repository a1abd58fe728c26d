"""The same work on PyTorch and JAX: `python peers.py WORK PEER` prints a line of JSON, then takes turns.

A turn: a line with a number of seconds on standard input, answered with the time of a step over about as long.

One thread, single precision, a new batch each step, parameters and moments where the peer keeps them. Called by
`cargo xtask peers`, which also runs Pliant's engines (src/) and prints the table.
"""

import json
import os
import resource
import sys
import time

os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1")
for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(name, "1")

import numpy as np

# The sizes of each work; src/work.rs has the same.
MAML = dict(tasks=25, shots=10, hidden=40, inner=0.01, rate=1e-3)
GRU = dict(inputs=16, hidden=64, outputs=4, steps=64, batch=256, rate=1e-3)
POLICY = dict(inputs=16, hidden=64, outputs=4, tasks=40, rows=2000, inner=0.1, clip=0.2, rate=1e-3)


def take_turns(step, setup, loss):
    """Says what was prepared, takes turns, and at the end of the input says the greatest resident set. `loss` is the first
    step's: the peers' answers must agree."""
    for _ in range(2):
        step()
    print(json.dumps(dict(setup=setup, loss=float(loss))), flush=True)
    for line in sys.stdin:
        span = float(line)
        step()
        count = 0
        start = time.perf_counter()
        while count == 0 or time.perf_counter() - start < span:
            step()
            count += 1
        print((time.perf_counter() - start) / count, flush=True)
    print(json.dumps(dict(peak_mib=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)))


def uniform(count, scale, seed):
    """Numbers of SplitMix64 by index, as in src/work.rs: uniform in [-scale, scale)."""
    with np.errstate(over="ignore"):
        z = (np.uint64(seed << 32) + np.arange(1, count + 1, dtype=np.uint64)) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z ^= z >> np.uint64(31)
    return (((z >> np.uint64(40)).astype(np.float64) / (1 << 24) * 2.0 - 1.0) * np.float32(scale)).astype(np.float32)


def layers(sizes, seed):
    """Weights [in, out] and biases of the layers, small."""
    result = []
    for index, (rows, columns) in enumerate(zip(sizes, sizes[1:])):
        result.append(uniform(rows * columns, rows**-0.5, seed + 2 * index).reshape(rows, columns))
        result.append(uniform(columns, rows**-0.5, seed + 2 * index + 1))
    return result


def maml_data():
    shape = (MAML["tasks"], MAML["shots"], 1)
    data = [uniform(np.prod(shape), scale, 100 + i).reshape(shape) for i, scale in enumerate((5.0, 3.0, 5.0, 3.0))]
    return layers([1, MAML["hidden"], MAML["hidden"], 1], 1), data


def gru_data():
    inputs, hidden, outputs = GRU["inputs"], GRU["hidden"], GRU["outputs"]
    shapes = [(inputs, 3 * hidden), (3 * hidden,), (hidden, 3 * hidden), (3 * hidden,), (hidden, outputs), (outputs,)]
    scales = [inputs**-0.5] + 5 * [hidden**-0.5]
    parameters = [uniform(np.prod(s), scale, i + 1).reshape(s) for i, (s, scale) in enumerate(zip(shapes, scales))]

    def sequences(width, seed):
        values = uniform(GRU["batch"] * GRU["steps"] * width, 1.0, seed)
        # Steps first, as a scan wants them.
        return np.ascontiguousarray(values.reshape(GRU["batch"], GRU["steps"], width).transpose(1, 0, 2))

    return parameters, [sequences(inputs, 100), sequences(outputs, 101)]


def policy_data():
    sizes = [POLICY["inputs"], POLICY["hidden"], POLICY["hidden"], POLICY["outputs"]]
    parameters = layers(sizes, 1) + [np.full(POLICY["outputs"], -0.5, np.float32)]
    data = []
    for set in (0, 4):
        for index, width in enumerate((POLICY["inputs"], POLICY["outputs"], 1, 1)):
            shape = (POLICY["tasks"], POLICY["rows"], width)
            data.append(uniform(np.prod(shape), 1.0, 100 + set + index).reshape(shape))
        # Log-probabilities between -4 and -2.
        data[-2] = data[-2] - np.float32(3)
    return parameters, data


def jax_step(work):
    import jax
    import jax.numpy as jnp

    def network(p, x, activation):
        h = activation(x @ p[0] + p[1])
        h = activation(h @ p[2] + p[3])
        return h @ p[4] + p[5]

    def maml_loss(parameters, data):
        def loss(p, x, y):
            return jnp.mean((network(p, x, jax.nn.relu) - y) ** 2)

        def task(xs, ys, xq, yq):
            gradients = jax.grad(loss)(parameters, xs, ys)
            adapted = [p - MAML["inner"] * g for p, g in zip(parameters, gradients)]
            return loss(adapted, xq, yq)

        return jnp.mean(jax.vmap(task)(*data))

    def gru_loss(p, data):
        x, y = data
        hidden = GRU["hidden"]
        # The input's share of all gates at once, outside the loop.
        from_input = x @ p[0] + p[1]

        def cell(h, gx):
            gh = h @ p[2] + p[3]
            gates = jax.nn.sigmoid(gx[:, : 2 * hidden] + gh[:, : 2 * hidden])
            r, z = gates[:, :hidden], gates[:, hidden:]
            n = jnp.tanh(gx[:, 2 * hidden :] + r * gh[:, 2 * hidden :])
            h = (1 - z) * n + z * h
            return h, h

        _, hs = jax.lax.scan(cell, jnp.zeros((GRU["batch"], hidden)), from_input)
        return jnp.mean((hs @ p[4] + p[5] - y) ** 2)

    def policy_loss(parameters, data):
        def log_ratio(p, o, a, old):
            mean = network(p, o, jnp.tanh)
            z = (a - mean) * jnp.exp(-p[6])
            return jnp.sum(-0.5 * z * z - p[6] - 0.918938533, -1, keepdims=True) - old

        def task(o, a, old, gain, oq, aq, oldq, gainq):
            def inner(p):
                return -jnp.mean(jnp.exp(log_ratio(p, o, a, old)) * gain)

            adapted = [p - POLICY["inner"] * g for p, g in zip(parameters, jax.grad(inner)(parameters))]
            ratio = jnp.exp(log_ratio(adapted, oq, aq, oldq))
            clipped = jnp.clip(ratio, 1 - POLICY["clip"], 1 + POLICY["clip"])
            return -jnp.mean(jnp.minimum(ratio * gainq, clipped * gainq))

        return jnp.mean(jax.vmap(task)(*data))

    loss, (parameters, data), rate = {
        "maml": (maml_loss, maml_data(), MAML["rate"]),
        "gru": (gru_loss, gru_data(), GRU["rate"]),
        "policy": (policy_loss, policy_data(), POLICY["rate"]),
    }[work]

    def adam(state, data):
        parameters, first, second, t = state
        value, gradients = jax.value_and_grad(loss)(parameters, data)
        t = t + 1
        first = [0.9 * m + 0.1 * g for m, g in zip(first, gradients)]
        second = [0.999 * v + 0.001 * g * g for v, g in zip(second, gradients)]
        rates = rate * jnp.sqrt(1 - 0.999**t) / (1 - 0.9**t)
        parameters = [p - rates * m / (jnp.sqrt(v) + 1e-8) for p, m, v in zip(parameters, first, second)]
        return (parameters, first, second, t), value

    zeros = [np.zeros_like(p) for p in parameters]
    state = jax.device_put((parameters, zeros, [z.copy() for z in zeros], np.float32(0)))
    start = time.perf_counter()
    compiled = jax.jit(adam, donate_argnums=0).lower(state, data).compile()
    setup = time.perf_counter() - start
    state, first = compiled(state, data)
    box = [state]

    def step():
        # As the others: the batch comes from the host.
        box[0], value = compiled(box[0], data)
        value.block_until_ready()

    return step, setup, first


def torch_step(work, compiled):
    import torch
    from torch.func import functional_call, grad, vmap  # noqa: F401

    torch.set_num_threads(1)

    def network(p, x, activation):
        h = activation(x @ p[0] + p[1])
        h = activation(h @ p[2] + p[3])
        return h @ p[4] + p[5]

    def maml_loss(parameters, data):
        def loss(p, x, y):
            return ((network(p, x, torch.relu) - y) ** 2).mean()

        def task(xs, ys, xq, yq):
            gradients = grad(loss)(tuple(parameters), xs, ys)
            adapted = [p - MAML["inner"] * g for p, g in zip(parameters, gradients)]
            return loss(adapted, xq, yq)

        return vmap(task)(*data).mean()

    def gru_loss(p, data):
        x, y = data
        hidden = GRU["hidden"]
        from_input = x @ p[0] + p[1]
        h = torch.zeros(GRU["batch"], hidden)
        hs = []
        for gx in from_input.unbind(0):
            gh = torch.addmm(p[3], h, p[2])
            r, z = torch.sigmoid(gx[:, : 2 * hidden] + gh[:, : 2 * hidden]).chunk(2, 1)
            n = torch.tanh(gx[:, 2 * hidden :] + r * gh[:, 2 * hidden :])
            h = (1 - z) * n + z * h
            hs.append(h)
        return ((torch.stack(hs) @ p[4] + p[5] - y) ** 2).mean()

    def policy_loss(parameters, data):
        def log_ratio(p, o, a, old):
            z = (a - network(p, o, torch.tanh)) * torch.exp(-p[6])
            return (-0.5 * z * z - p[6] - 0.918938533).sum(-1, keepdim=True) - old

        def task(o, a, old, gain, oq, aq, oldq, gainq):
            def inner(p):
                return -(torch.exp(log_ratio(p, o, a, old)) * gain).mean()

            adapted = [p - POLICY["inner"] * g for p, g in zip(parameters, grad(inner)(tuple(parameters)))]
            ratio = torch.exp(log_ratio(adapted, oq, aq, oldq))
            clipped = torch.clamp(ratio, 1 - POLICY["clip"], 1 + POLICY["clip"])
            return -torch.minimum(ratio * gainq, clipped * gainq).mean()

        return vmap(task)(*data).mean()

    loss, (parameters, data), rate = {
        "maml": (maml_loss, maml_data(), MAML["rate"]),
        "gru": (gru_loss, gru_data(), GRU["rate"]),
        "policy": (policy_loss, policy_data(), POLICY["rate"]),
    }[work]
    parameters = [torch.tensor(p, requires_grad=True) for p in parameters]
    data = [torch.tensor(d) for d in data]
    optimizer = torch.optim.Adam(parameters, lr=rate)
    start = time.perf_counter()
    value_of = torch.compile(loss) if compiled else loss

    def step():
        optimizer.zero_grad()
        value = value_of(parameters, data)
        value.backward()
        optimizer.step()
        return value.detach()

    first = step()
    return step, (time.perf_counter() - start) if compiled else 0.0, first


def main():
    work, peer = sys.argv[1:3]
    step, setup, loss = {
        "jax": lambda: jax_step(work),
        "torch": lambda: torch_step(work, False),
        "torch.compile": lambda: torch_step(work, True),
    }[peer]()
    take_turns(step, setup, loss)


if __name__ == "__main__":
    main()
