"""towns_192.npz: towns drawn by a program, each as a map and as it looks from the air. What the map does not say, dice say.

A town has two axes of streets, a little bent. Between them lie blocks: some are parks, the others hold one or two rows of
houses. Roofs (tiles, slate, flat), trees, cars, lawns and light are thrown by dice, and stand in no map.
"""

import numpy as np

TOWNS, SIDE = 48, 192
LAND, ROAD, MAIN, PARK, WATER, HOUSE = range(6)
PAINTS = np.array([[0.88, 0.88, 0.9], [0.12, 0.12, 0.14], [0.72, 0.12, 0.1], [0.15, 0.25, 0.6]])


def towns(target):
    """All towns: what stands where (n, 192, 192) with 0 to 5, and photos (n, 192, 192, 3) of 32 levels."""
    maps, photos = zip(*(town(seed) for seed in range(TOWNS)), strict=True)
    levels = np.round(np.array(photos) * 31).astype(np.uint8)
    np.savez_compressed(target, maps=np.array(maps, np.uint8), photos=levels)


def town(seed, side=SIDE):
    """One town: its map (side, side), 0 to 5, and its photo (side, side, 3) from 0 to 1."""
    random = np.random.default_rng([seed, 9])
    plan = Plan(random, side)
    houses, ridges = build_houses(random, plan)
    kinds = np.where(houses > 0, HOUSE, plan.blocks)
    kinds = np.where(plan.river, WATER, kinds)
    kinds = np.where(plan.road, np.where(plan.main, MAIN, ROAD), kinds)
    photo = photograph(random, plan, kinds, np.where(kinds == HOUSE, houses, 0), ridges)
    return kinds, photo.clip(0, 1)


def waves(random, side, length):
    """Smooth noise (side, side), mostly within −1 and 1, whose hills are about `length` pixels wide."""
    grid = random.normal(size=(side // length + 3,) * 2)
    place = np.arange(side) / length
    corner, part = place.astype(int), place % 1
    part = part * part * (3 - 2 * part)  # no edges where two cells of the grid meet
    rows = grid[corner] * (1 - part)[:, None] + grid[corner + 1] * part[:, None]
    return rows[:, corner] * (1 - part) + rows[:, corner + 1] * part


class Plan:
    """Where the streets run: (side, side) arrays in the town's own two directions, u and v."""

    def __init__(self, random, side):
        self.side = side
        down, across = np.mgrid[:side, :side].astype(float)
        angle = random.uniform(0, np.pi / 2)
        turned = np.cos(angle) * across + np.sin(angle) * down, np.cos(angle) * down - np.sin(angle) * across
        self.axes = [axis + 4 * waves(random, side, 64) for axis in turned]
        self.streets = [self._streets(random, axis, gap) for axis, gap in zip(self.axes, (32, 24), strict=True)]
        near = [self._nearest(axis, streets) for axis, streets in zip(self.axes, self.streets, strict=True)]
        reach = [np.abs(away) / np.where(main, 4.2, 2.5) for away, main in near]  # below 1 on the street
        self.road = np.minimum(*reach) < 1
        self.main = ((reach[0] < 1) & near[0][1]) | ((reach[1] < 1) & near[1][1])
        first = reach[0] < reach[1]  # which of the two streets a pixel is nearer to
        self.away = np.where(first, near[0][0], near[1][0])  # pixels from its middle line
        self.along = np.where(first, self.axes[1], self.axes[0])
        self.cells = [np.searchsorted(s[:, 0], axis) for axis, s in zip(self.axes, self.streets, strict=True)]
        self.parks = random.random([len(s) + 1 for s in self.streets]) < 0.16
        self.blocks = np.where(self.parks[tuple(self.cells)], PARK, LAND)
        middle = np.cos(angle + 1) * across + np.sin(angle + 1) * down - side * random.uniform(0.1, 0.9)
        self.river = np.abs(middle + 20 * waves(random, side, 90)) < random.uniform(6, 11)
        self.river &= random.random() < 0.6

    @staticmethod
    def _streets(random, axis, gap):
        """(n, 2): where a street crosses the axis, and whether it is a main road."""
        count = int((axis.max() - axis.min()) / gap) + 2
        places = axis.min() - gap / 2 + np.cumsum(random.uniform(0.75, 1.4, count) * gap)
        return np.stack([places, random.random(count) < 0.2], axis=1)

    @staticmethod
    def _nearest(axis, streets):
        """How far each pixel is from the nearest street, with a sign, and whether that is a main road."""
        away = axis[..., None] - streets[:, 0]
        nearest = np.abs(away).argmin(axis=-1)
        return np.take_along_axis(away, nearest[..., None], -1)[..., 0], streets[nearest, 1] > 0


def build_houses(random, plan):
    """The number of the house on each pixel, 0 for none, and how far a pixel is from its ridge, (side, side) each."""
    houses, ridges, count = np.zeros((plan.side,) * 2, int), np.zeros((plan.side,) * 2), 0
    u, v = plan.axes
    for i, j in np.argwhere(~plan.parks[1:-1, 1:-1]) + 1:  # blocks that have a street on each side
        (left, right), (top, bottom) = plan.streets[0][i - 1 : i + 1, 0], plan.streets[1][j - 1 : j + 1, 0]
        left, right, top, bottom = left + 6, right - 6, top + 6, bottom - 6
        while left < right - 4:
            width, depth = min(random.uniform(5, 10), right - left), random.uniform(5, 8, 2)
            rows = [(top, min(bottom, top + depth[0]))]
            if bottom - top > 15:
                rows.append((max(rows[0][1] + 2, bottom - depth[1]), bottom))
            for low, high in rows:
                inside = (u > left) & (u < left + width) & (v > low) & (v < high)
                if high - low > 4 and random.random() > 0.1 and inside.any():
                    count += 1
                    houses[inside] = count
                    across = v - (low + high) / 2 if width > high - low else u - left - width / 2
                    ridges[inside] = across[inside]
            left += width + random.uniform(1.5, 4)
    return houses, ridges


def photograph(random, plan, kinds, houses, ridges):
    """The picture from the air, (side, side, 3)."""
    side, layer = plan.side, lambda *colour: np.array(colour) * np.ones((plan.side, plan.side, 3))
    grain = random.normal(size=(side, side, 1))
    light, dry = random.uniform(0.95, 1.25), random.uniform(0, 1)  # of this day, of this summer
    hills = lambda length: waves(random, side, length)[..., None]  # noqa: E731
    grass = layer(0.3 + 0.12 * dry, 0.42, 0.22) + 0.05 * hills(9) + 0.025 * grain
    earth = layer(0.5, 0.46, 0.33) + 0.06 * hills(7) + 0.025 * grain
    tar = layer(0.43, 0.43, 0.44) + 0.03 * hills(20) + 0.012 * grain
    water = layer(0.13, 0.26, 0.32) + 0.02 * hills(12) + 0.008 * grain
    garden = np.where(hills(14) > 0.1, grass, earth)
    photo = np.choose(kinds[..., None], [garden, tar, 1.06 * tar, 0.95 * grass, water, tar])
    dashes = plan.main & plan.road & (np.abs(plan.away) < 0.55) & (plan.along % 6 < 3)
    photo[dashes] = 0.88
    roofs, kind = roof_colours(random, houses.max() + 1)
    lit = np.where((ridges > 0) & (kind[houses] < 2), 0.74, 1.06)[..., None]
    photo = np.where((houses > 0)[..., None], roofs[houses] * lit + 0.012 * grain, photo)
    shade = np.zeros((side, side), bool)
    for step in (1, 2):  # the sun stands to the upper left
        shade[step:, step:] |= houses[:-step, :-step] > 0
    photo[shade & (houses == 0)] *= 0.55
    park_cars(random, plan, photo)
    plant_trees(random, kinds, photo)
    return light * photo


def roof_colours(random, count):
    """A colour (count, 3) for each house, and its kind: 0 tiles, 1 slate, 2 a light flat roof."""
    kind, dice = random.choice(3, count, p=[0.5, 0.3, 0.2]), random.random((count, 3))
    tiles = np.array([0.52, 0.25, 0.18]) + dice * [0.2, 0.14, 0.08]
    grey = np.where(kind == 1, 0.3 + 0.22 * dice[:, 0], 0.72 + 0.16 * dice[:, 0])[:, None] * [1, 1, 1.03]
    return np.where((kind == 0)[:, None], tiles, grey), kind


def park_cars(random, plan, photo):
    """Cars on the right of each street's middle, painted in four colours."""
    for axis, streets, other in zip(plan.axes, plan.streets, plan.axes[::-1], strict=True):
        for place, main in streets:
            for _ in range(random.integers(1, 6)):
                at, lane = random.uniform(other.min(), other.max()), random.choice([-1, 1]) * (2.1 if main else 1.2)
                body = (np.abs(axis - place - lane) < 1.0) & (np.abs(other - at) < 2.2) & plan.road
                paint = PAINTS[random.choice(4, p=[0.45, 0.25, 0.15, 0.15])]
                photo[body] = paint
                photo[body & (np.abs(other - at - 0.4) < 0.7)] = 0.45 * paint


def plant_trees(random, kinds, photo):
    """Crowns with a lit side and a shadow: dense in parks, loose in gardens, none on streets, roofs and water."""
    side = len(kinds)
    down, across = np.mgrid[:side, :side]
    for _ in range(side * side // 60):
        row, column = random.integers(0, side, 2)
        chance = {LAND: 0.12, PARK: 0.8}.get(kinds[row, column], 0)
        radius, tone = random.uniform(1.5, 3.4), random.random()
        if random.random() > chance:
            continue
        part = np.s_[max(0, row - 6) : row + 8, max(0, column - 6) : column + 8]
        y, x = down[part] - row, across[part] - column
        photo[part][np.hypot(y - 2, x - 2) < radius] *= 0.6
        crown = np.array([0.12, 0.24, 0.1]) + 0.09 * tone - 0.045 * ((x + y) / radius)[..., None]
        photo[part][np.hypot(y, x) < radius] = crown[np.hypot(y, x) < radius]
