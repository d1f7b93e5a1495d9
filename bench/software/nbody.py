"""Five bodies under gravity: floating-point arithmetic in an interpreter."""
import math

bodies = [[0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 39.47]] + [
    [r * math.cos(r), r * math.sin(r), 0.1 * r, -6.0 / r ** 0.5 * math.sin(r), 6.0 / r ** 0.5 * math.cos(r), 0.0, m]
    for r, m in ((5.2, 0.0377), (9.5, 0.0113), (19.2, 0.0017), (30.1, 0.002))]


def advance(step):
    for i, a in enumerate(bodies):
        for b in bodies[i + 1:]:
            dx, dy, dz = a[0] - b[0], a[1] - b[1], a[2] - b[2]
            pull = step / (dx * dx + dy * dy + dz * dz) ** 1.5
            for k, d in ((3, dx), (4, dy), (5, dz)):
                a[k] -= d * b[6] * pull
                b[k] += d * a[6] * pull
    for body in bodies:
        for k in range(3):
            body[k] += step * body[k + 3]


for _ in range(12000):
    advance(0.001)
print("%.9f %.9f %.9f" % tuple(bodies[1][:3]))
