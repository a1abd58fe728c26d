"""Trajectories of the simulated systems, computed in another way than the trainer does: prints systems_golden.json.

python3 trainer/tests/data/systems_golden.py > trainer/tests/data/systems_golden.json

Every control period is integrated by 200 Runge-Kutta steps. The arm's equations of motion come from its kinetic and
potential energy by numerical differentiation, the cart-pole's from its mass matrix; the vehicle's late actions are
blended in time. Only the standard library is used.
"""

import json
import math
import random

SUBSTEPS = 200
G = 9.81


def integrate(state, period, derivative):
    h = period / SUBSTEPS
    for step in range(SUBSTEPS):
        k1 = derivative(state)
        k2 = derivative([s + 0.5 * h * k for s, k in zip(state, k1)])
        k3 = derivative([s + 0.5 * h * k for s, k in zip(state, k2)])
        k4 = derivative([s + h * k for s, k in zip(state, k3)])
        state = [s + h / 6 * (a + 2 * b + 2 * c + d) for s, a, b, c, d in zip(state, k1, k2, k3, k4)]
    return state


def solve(a, b):
    """A 2 x 2 system by Cramer's rule."""
    det = a[0][0] * a[1][1] - a[0][1] * a[1][0]
    return [(b[0] * a[1][1] - a[0][1] * b[1]) / det, (a[0][0] * b[1] - b[0] * a[1][0]) / det]


def pendulum(task, state, action):
    mass, length, friction = task

    def derivative(s):
        torque = 30.0 * action[0] - mass * G * length * math.sin(s[0]) - friction * s[1]
        return [s[1], torque / (mass * length**2)]

    return integrate(state, 0.02, derivative)


def cart_pole(task, state, action):
    cart, pole, half, friction, push = task

    def derivative(s):
        _, v, angle, w = s
        coupling = pole * half * math.cos(angle)
        matrix = [[cart + pole, coupling], [coupling, pole * (2 * half) ** 2 / 3]]
        forces = [
            20.0 * action[0] + push - friction * v + pole * half * w**2 * math.sin(angle),
            pole * G * half * math.sin(angle),
        ]
        dv, dw = solve(matrix, forces)
        return [v, dv, w, dw]

    return integrate(state, 0.02, derivative)


LINK, ROD = 0.5, 1.5


def arm_energies(task, q, dq):
    """Kinetic and potential energy: rods by their centres and their own rotation, the load as a point."""
    load = task[0]
    a, b = q[0], q[0] + q[1]
    wa, wb = dq[0], dq[0] + dq[1]
    kinetic = 0.5 * ROD * (LINK / 2 * wa) ** 2 + 0.5 * ROD * LINK**2 / 12 * wa**2
    potential = -ROD * G * LINK / 2 * math.cos(a)
    for mass, along in ((ROD, LINK / 2), (load, LINK)):
        vx = LINK * math.cos(a) * wa + along * math.cos(b) * wb
        vy = LINK * math.sin(a) * wa + along * math.sin(b) * wb
        kinetic += 0.5 * mass * (vx**2 + vy**2)
        potential -= mass * G * (LINK * math.cos(a) + along * math.cos(b))
    kinetic += 0.5 * ROD * LINK**2 / 12 * wb**2
    return kinetic, potential


def arm(task, state, action):
    """M(q) q'' = torque - friction q' - (M' q') + d(T - V)/dq, all of M by evaluating the kinetic energy."""

    def kinetic(q, dq):
        return arm_energies(task, q, dq)[0]

    def mass_matrix(q):
        m11, m22 = 2 * kinetic(q, [1, 0]), 2 * kinetic(q, [0, 1])
        m12 = kinetic(q, [1, 1]) - 0.5 * (m11 + m22)
        return [[m11, m12], [m12, m22]]

    def derivative(s):
        q, dq = s[:2], s[2:]
        e = 1e-5
        rate = [[0.0, 0.0], [0.0, 0.0]]
        force = []
        for i in range(2):
            up, down = list(q), list(q)
            up[i] += e
            down[i] -= e
            mu, md = mass_matrix(up), mass_matrix(down)
            for r in range(2):
                for c in range(2):
                    rate[r][c] += (mu[r][c] - md[r][c]) / (2 * e) * dq[i]
            tu, vu = arm_energies(task, up, dq)
            td, vd = arm_energies(task, down, dq)
            force.append(((tu - vu) - (td - vd)) / (2 * e))
        torques = [60.0 * action[0], 30.0 * action[1]]
        right = [
            torques[i] - task[1 + i] * dq[i] - sum(rate[i][c] * dq[c] for c in range(2)) + force[i] for i in range(2)
        ]
        return list(dq) + solve(mass_matrix(q), right)

    return integrate(state, 0.02, derivative)


def vehicle(task, state, action):
    speed, mass, front, rear, grip, delay, offset, camber, centre, curve = task
    physical, past = state[:4], state[4:]
    history = [action[0]] + past
    late = delay / 0.05
    whole = min(int(late), 2)
    arriving = history[whole] + (late - whole) * (history[whole + 1] - history[whole])
    wheel = 0.25 * arriving + offset
    lf, lr = 2.8 * centre, 2.8 * (1 - centre)
    inertia = mass * lf * lr

    def tyre(stiffness, slip, load):
        force = stiffness * slip
        return force / math.sqrt(1 + (force / (grip * load)) ** 2)

    def derivative(s):
        y, heading, v, r = s
        f_front = tyre(front, wheel - (v + lf * r) / speed, mass * G * lr / 2.8)
        f_rear = tyre(rear, -(v - lr * r) / speed, mass * G * lf / 2.8)
        return [
            v * math.cos(heading) + speed * math.sin(heading),
            r - curve / speed,
            (f_front + f_rear) / mass - speed * r + camber,
            (lf * f_front - lr * f_rear) / inertia,
        ]

    return integrate(physical, 0.05, derivative) + history[:3]


def record(step, tasks, start, actions, most=0.6, length=60):
    trajectories = []
    for index, task in enumerate(tasks):
        rng = random.Random(index)
        state = start(rng)
        states, given = [state], []
        held = [0.0] * actions
        for at in range(length):
            if at % 5 == 0:
                held = [round(rng.uniform(-most, most), 3) for _ in range(actions)]
            state = step(task, state, held)
            states.append(state)
            given.append(held)
        rounded = [[float(f"{x:.9g}") for x in s] for s in states]
        trajectories.append({"task": task, "actions": given, "states": rounded})
    return trajectories


def uniform(*limits):
    return lambda rng: [round(rng.uniform(-x, x), 3) for x in limits]


golden = {
    "pendulum": record(pendulum, [[0.5, 0.5, 0.0], [2.0, 1.0, 0.5], [1.0, 0.7, 0.2]], uniform(2.5, 1.0), 1),
    "cart-pole": record(
        cart_pole,
        [[0.5, 0.5, 0.25, 1.0, 4.0], [2.0, 0.05, 1.0, 0.0, -4.0], [1.0, 0.1, 0.5, 0.3, 0.0]],
        uniform(0.5, 0.5, 0.2, 0.5),
        1,
    ),
    "two-link-arm": record(
        arm, [[0.0, 0.0, 0.5], [3.0, 0.5, 0.0], [1.0, 0.2, 0.2]], uniform(0.8, 0.8, 0.5, 0.5), 2, 0.1
    ),
    "vehicle": record(
        vehicle,
        [
            [10.0, 1000.0, 50e3, 150e3, 0.6, 0.0, 0.03, -1.0, 0.4, 2.5],
            [30.0, 2500.0, 60e3, 80e3, 1.0, 0.12, -0.03, 1.0, 0.5, -2.5],
            [20.0, 1500.0, 100e3, 100e3, 0.8, 0.06, 0.0, 0.0, 0.45, 0.0],
        ],
        lambda rng: [round(rng.uniform(-1, 1), 3), round(rng.uniform(-0.05, 0.05), 3), 0.0, 0.0, 0.0, 0.0, 0.0],
        1,
    ),
}
print(json.dumps(golden, separators=(",", ":")))
