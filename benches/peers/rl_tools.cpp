// The same work on rl-tools, headers of the Python package `rltools`, matrix products by OpenBLAS: `rl-tools WORK` speaks as
// peers.py does. Single precision throughout. rl-tools writes its backward passes by hand, layer by layer: it has no gradient
// of a gradient, and so none of the second-order works.

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <functional>
#include <iostream>
#include <string>
#include <vector>

#define RL_TOOLS_BACKEND_ENABLE_OPENBLAS
#include <rl_tools/operations/cpu_mux.h>

#include <rl_tools/nn/optimizers/adam/instance/operations_generic.h>
#include <rl_tools/nn/operations_cpu_mux.h>
#include <rl_tools/nn/layers/gru/operations_generic.h>
#include <rl_tools/nn_models/sequential/operations_generic.h>
#include <rl_tools/nn/optimizers/adam/operations_generic.h>

namespace rlt = rl_tools;

using Device = rlt::devices::DEVICE_FACTORY<>;
static_assert(Device::DEVICE_ID == rlt::devices::DeviceId::CPU_OPENBLAS);
using Random = Device::SPEC::RANDOM::ENGINE<>;
using Index = Device::index_t;
using Numbers = rlt::numeric_types::Policy<float>;

using rlt::nn::activation_functions::ActivationFunction;
template <Index SIZE, ActivationFunction ACTIVATION>
using Dense =
    rlt::nn::layers::dense::BindConfiguration<rlt::nn::layers::dense::Configuration<Numbers, Index, SIZE, ACTIVATION>>;
template <Index SIZE>
using Gru = rlt::nn::layers::gru::BindConfiguration<rlt::nn::layers::gru::Configuration<Numbers, Index, SIZE>>;
template <typename CONTENT, typename NEXT = rlt::nn_models::sequential::OutputModule>
using Module = rlt::nn_models::sequential::Module<CONTENT, NEXT>;
template <typename CAPABILITY, typename MODULE, Index... SHAPE>
using Model = rlt::nn_models::sequential::Build<CAPABILITY, MODULE, rlt::tensor::Shape<Index, SHAPE...>>;
using Forward = rlt::nn::capability::Forward<>;
template <Index... SHAPE>
using Values = rlt::Tensor<rlt::tensor::Specification<float, Index, rlt::tensor::Shape<Index, SHAPE...>>>;

static Device device;
static Random random_numbers;

/// Numbers of SplitMix64 by index, as in src/work.rs: uniform in [-scale, scale).
static std::vector<float> uniform(std::size_t count, float scale, std::uint64_t seed) {
    std::vector<float> values(count);
    for (std::size_t index = 0; index < count; index++) {
        std::uint64_t z = ((seed << 32) + index + 1) * 0x9E3779B97F4A7C15ull;
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
        z ^= z >> 31;
        values[index] = float((double(z >> 40) / (1 << 24) * 2.0 - 1.0) * double(scale));
    }
    return values;
}

static float small(Index width) { return std::pow(float(width), -0.5f); }

/// A layer's weights and biases, drawn with these scales from `seed` and the next. Ours are [in][out], theirs [out][in].
template <typename LAYER>
static void set_dense(LAYER& layer, Index in, Index out, float scale, float bias_scale, std::uint64_t seed) {
    auto weights = uniform(in * out, scale, seed);
    auto biases = uniform(out, bias_scale, seed + 1);
    for (Index row = 0; row < in; row++)
        for (Index column = 0; column < out; column++)
            rlt::set(device, layer.weights.parameters, weights[row * out + column], column, row);
    for (Index column = 0; column < out; column++) rlt::set(device, layer.biases.parameters, biases[column], column);
}

/// The four tensors of a gated recurrent unit, drawn with these scales from `seed` on.
template <typename LAYER>
static void set_gru(LAYER& layer, Index in, Index hidden, const float (&scales)[4], std::uint64_t seed) {
    auto set = [&](auto& tensor, Index rows, float scale, std::uint64_t seed) {
        auto values = uniform(rows * 3 * hidden, scale, seed);
        for (Index row = 0; row < rows; row++)
            for (Index column = 0; column < 3 * hidden; column++)
                rlt::set(device, tensor, values[row * 3 * hidden + column], column, row);
    };
    auto set_bias = [&](auto& tensor, float scale, std::uint64_t seed) {
        auto values = uniform(3 * hidden, scale, seed);
        for (Index column = 0; column < 3 * hidden; column++) rlt::set(device, tensor, values[column], column);
    };
    set(layer.weights_input.parameters, in, scales[0], seed);
    set_bias(layer.biases_input.parameters, scales[1], seed + 1);
    set(layer.weights_hidden.parameters, hidden, scales[2], seed + 2);
    set_bias(layer.biases_hidden.parameters, scales[3], seed + 3);
}

using Clock = std::chrono::steady_clock;

static double seconds_since(Clock::time_point start) {
    return std::chrono::duration<double>(Clock::now() - start).count();
}

/// Says what the first step gave (a string: a number, or `null`), then takes turns: a line with a number of seconds is answered with the time of a step over
/// about as long. At the end of the input, the greatest resident set.
template <typename STEP>
static void take_turns(const std::string& loss, STEP step, int together) {
    for (int warm_up = 0; warm_up < 2; warm_up++) step();
    std::printf("{\"setup\": 0, \"loss\": %s}\n", loss.c_str());
    std::fflush(stdout);
    for (std::string line; std::getline(std::cin, line);) {
        const double span = std::stod(line);
        step();
        const auto start = Clock::now();
        long count = 0;
        do {
            for (int index = 0; index < together; index++) step();
            count += together;
        } while (seconds_since(start) < span);
        std::printf("%.9e\n", seconds_since(start) / double(count));
        std::fflush(stdout);
    }
    long kib = 0;
    std::ifstream status("/proc/self/status");
    for (std::string line; std::getline(status, line);)
        if (line.rfind("VmHWM:", 0) == 0) kib = std::stol(line.substr(6));
    std::printf("{\"peak_mib\": %.3f}\n", double(kib) / 1024);
}

/// One action of the policy 16-64-64-4, hyperbolic tangent.
static void act_mlp() {
    using Layers = Module<Dense<64, ActivationFunction::TANH>,
                          Module<Dense<64, ActivationFunction::TANH>, Module<Dense<4, ActivationFunction::IDENTITY>>>>;
    using Policy = Model<Forward, Layers, 1, 1, 16>;
    static Policy policy;
    static typename Policy::template Buffer<> buffer;
    static Values<1, 1, 16> observation;
    static Values<1, 1, 4> action;
    rlt::malloc(device, policy);
    rlt::malloc(device, buffer);
    rlt::malloc(device, observation);
    rlt::malloc(device, action);
    set_dense(rlt::get_layer<0>(policy), 16, 64, small(16), small(64), 1);
    set_dense(rlt::get_layer<1>(policy), 64, 64, small(64), small(64), 3);
    set_dense(rlt::get_layer<2>(policy), 64, 4, small(64), small(4), 5);
    rlt::set_all(device, observation, 0.3f);
    auto step = [&] {
        rlt::evaluate(device, policy, observation, action, buffer, random_numbers);
        rlt::set(device, observation, 0.3f + 1e-3f * rlt::get(device, action, 0, 0, 0), 0, 0, 0);
    };
    rlt::evaluate(device, policy, observation, action, buffer, random_numbers);
    double sum = 0;
    for (Index index = 0; index < 4; index++) sum += rlt::get(device, action, 0, 0, index);
    take_turns(std::to_string(sum), step, 200);
}

/// One action of the recurrent policy 22-16-16-4.
static void act_gru() {
    using Layers = Module<Dense<16, ActivationFunction::RELU>, Module<Gru<16>, Module<Dense<4, ActivationFunction::IDENTITY>>>>;
    using Policy = Model<Forward, Layers, 1, 1, 22>;
    static Policy policy;
    static typename Policy::template Buffer<> buffer;
    static typename Policy::template State<> state;
    static Values<1, 22> observation;
    static Values<1, 4> action;
    rlt::malloc(device, policy);
    rlt::malloc(device, buffer);
    rlt::malloc(device, state);
    rlt::malloc(device, observation);
    rlt::malloc(device, action);
    set_dense(rlt::get_layer<0>(policy), 22, 16, small(22), small(16), 1);
    set_gru(rlt::get_layer<1>(policy), 16, 16, {small(16), small(48), small(16), small(48)}, 3);
    set_dense(rlt::get_layer<2>(policy), 16, 4, small(16), small(4), 7);
    rlt::set_all(device, observation, 0.3f);
    rlt::set_all(device, rlt::get_layer<1>(policy).initial_hidden_state.parameters, 0.0f);
    rlt::reset(device, policy, state, random_numbers);
    auto step = [&] {
        rlt::evaluate_step(device, policy, observation, state, action, buffer, random_numbers);
        rlt::set(device, observation, 0.3f + 1e-3f * rlt::get(device, action, 0, 0), 0, 0);
    };
    rlt::evaluate_step(device, policy, observation, state, action, buffer, random_numbers);
    double sum = 0;
    for (Index index = 0; index < 4; index++) sum += rlt::get(device, action, 0, index);
    take_turns(std::to_string(sum), step, 200);
}

/// The gradient of the mean squared error at the model's output; the error itself.
template <typename OUTPUT, typename TARGET, typename GRADIENT>
static double squared_error(const OUTPUT& output, const TARGET& target, GRADIENT& gradient, Index count) {
    double sum = 0;
    for (Index index = 0; index < count; index++) {
        const float difference = rlt::data(output)[index] - rlt::data(target)[index];
        sum += double(difference) * difference;
        rlt::data(gradient)[index] = 2.0f / float(count) * difference;
    }
    return sum / double(count);
}

/// A training step of a GRU-64: 64 steps, 256 sequences, Adam.
static void gru() {
    constexpr Index STEPS = 64, BATCH = 256, INPUTS = 16, HIDDEN = 64, OUTPUTS = 4, COUNT = STEPS * BATCH * OUTPUTS;
    using Layers = Module<Gru<HIDDEN>, Module<Dense<OUTPUTS, ActivationFunction::IDENTITY>>>;
    using Policy = Model<rlt::nn::capability::Gradient<rlt::nn::parameters::Adam>, Layers, STEPS, BATCH, INPUTS>;
    using Adam = rlt::nn::optimizers::Adam<rlt::nn::optimizers::adam::Specification<
        Numbers, Index, rlt::nn::optimizers::adam::DEFAULT_PARAMETERS_PYTORCH<Numbers>>>;
    static Policy policy;
    static typename Policy::template Buffer<> buffer;
    static Adam adam;
    static Values<STEPS, BATCH, INPUTS> x;
    static Values<STEPS, BATCH, OUTPUTS> y, gradient;
    rlt::malloc(device, policy);
    rlt::malloc(device, buffer);
    rlt::malloc(device, adam);
    rlt::malloc(device, x);
    rlt::malloc(device, y);
    rlt::malloc(device, gradient);
    const float scale = small(HIDDEN);
    set_gru(rlt::get_layer<0>(policy), INPUTS, HIDDEN, {small(INPUTS), scale, scale, scale}, 1);
    set_dense(rlt::get_layer<1>(policy), HIDDEN, OUTPUTS, scale, scale, 5);
    rlt::set_all(device, rlt::get_layer<0>(policy).initial_hidden_state.parameters, 0.0f);
    auto fill = [&](auto& tensor, Index width, std::uint64_t seed) {
        auto values = uniform(BATCH * STEPS * width, 1.0f, seed);
        for (Index sequence = 0; sequence < BATCH; sequence++)
            for (Index step = 0; step < STEPS; step++)
                for (Index channel = 0; channel < width; channel++)
                    rlt::set(device, tensor, values[(sequence * STEPS + step) * width + channel], step, sequence, channel);
    };
    fill(x, INPUTS, 100);
    fill(y, OUTPUTS, 101);
    rlt::zero_gradient(device, policy);
    rlt::reset_optimizer_state(device, adam, policy);
    double loss = 0;
    auto step = [&] {
        rlt::forward(device, policy, x, buffer, random_numbers);
        auto output = rlt::output(device, policy);
        loss = squared_error(output, y, gradient, COUNT);
        rlt::zero_gradient(device, policy);
        rlt::backward(device, policy, x, gradient, buffer);
        rlt::step(device, adam, policy);
    };
    step();
    take_turns(std::to_string(loss), step, 1);
}

/// One step of gradient descent of the network of `models/sinusoid`, ten rows.
static void adapt() {
    constexpr Index ROWS = 10;
    using Layers = Module<Dense<40, ActivationFunction::RELU>,
                          Module<Dense<40, ActivationFunction::RELU>, Module<Dense<1, ActivationFunction::IDENTITY>>>>;
    using Policy = Model<rlt::nn::capability::Gradient<rlt::nn::parameters::Gradient>, Layers, 1, ROWS, 1>;
    static Policy policy;
    static typename Policy::template Buffer<> buffer;
    static Values<1, ROWS, 1> x, y, gradient;
    rlt::malloc(device, policy);
    rlt::malloc(device, buffer);
    rlt::malloc(device, x);
    rlt::malloc(device, y);
    rlt::malloc(device, gradient);
    set_dense(rlt::get_layer<0>(policy), 1, 40, 1.0f, 1.0f, 1);
    set_dense(rlt::get_layer<1>(policy), 40, 40, small(40), small(40), 3);
    set_dense(rlt::get_layer<2>(policy), 40, 1, small(40), small(40), 5);
    auto inputs = uniform(ROWS, 5.0f, 100);
    for (Index row = 0; row < ROWS; row++) {
        rlt::set(device, x, inputs[row], 0, row, 0);
        rlt::set(device, y, 2.0f * std::sin(inputs[row] + 0.5f), 0, row, 0);
    }
    auto descend = [](auto& parameter, Index count) {
        for (Index index = 0; index < count; index++) parameter.parameters._data[index] -= 0.01f * parameter.gradient._data[index];
    };
    auto step = [&] {
        rlt::forward(device, policy, x, buffer, random_numbers);
        auto output = rlt::output(device, policy);
        squared_error(output, y, gradient, ROWS);
        rlt::zero_gradient(device, policy);
        rlt::backward(device, policy, x, gradient, buffer);
        descend(rlt::get_layer<0>(policy).weights, 40);
        descend(rlt::get_layer<0>(policy).biases, 40);
        descend(rlt::get_layer<1>(policy).weights, 40 * 40);
        descend(rlt::get_layer<1>(policy).biases, 40);
        descend(rlt::get_layer<2>(policy).weights, 40);
        descend(rlt::get_layer<2>(policy).biases, 1);
    };
    // What the peers compute is alike, not the same: no answer to compare.
    take_turns("null", step, 20);
}

int main(int count, char** words) {
    const std::string work = count == 2 ? words[1] : "";
    rlt::malloc(device, random_numbers);
    rlt::init(device, random_numbers, 0);
    if (work == "act-mlp") act_mlp();
    else if (work == "act-gru") act_gru();
    else if (work == "gru") gru();
    else if (work == "adapt") adapt();
    else {
        std::fprintf(stderr, "usage: rl-tools act-mlp|act-gru|gru|adapt\n");
        return 2;
    }
}
