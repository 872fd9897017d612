"""Finds a person in a rig of unknown names: hips carry two legs and a spine, the chest carries two arms and a head.

Works on rest positions alone (Blender axes: Z up in the armature's space). Needs no bpy.
"""

from __future__ import annotations

from typing import Any

import numpy as np

Bones = Any  # an armature's ``bones``, or anything like it


class _Tree:
    """The rig's bones by name: rest heads, tails, parents, children and how far down each reaches."""

    def __init__(self, bones: Bones) -> None:
        self.head = {bone.name: np.array(bone.head_local, float) for bone in bones}
        self.tail = {bone.name: np.array(bone.tail_local, float) for bone in bones}
        self.children: dict[str, list[str]] = {bone.name: [child.name for child in bone.children] for bone in bones}
        self.roots = [bone.name for bone in bones if bone.parent is None]

    def below(self, name: str) -> list[str]:
        """The bone and everything under it."""
        found, todo = [], [name]
        while todo:
            bone = todo.pop()
            found.append(bone)
            todo.extend(self.children[bone])
        return found


def guess_bones(bones: Bones) -> dict[str, str]:
    """Canonical joint -> bone name for the limbs, hips and head of a rig; empty where no person is found.

    Left is the side at +X of a character that looks along -Y, turned with the feet when toes point elsewhere.
    """
    tree = _Tree(bones)
    if not tree.roots:
        return {}
    low = min(point[2] for name in tree.head for point in (tree.head[name], tree.tail[name]))
    high = max(point[2] for name in tree.head for point in (tree.head[name], tree.tail[name]))
    hips = _fork(tree, [name for root in tree.roots for name in tree.below(root)], low, high)
    if hips is None or high - low <= 0.0:
        return {}
    legs, spine = hips
    arms = _arms(tree, spine)
    if arms is None:
        return {}
    return _name_limbs(tree, legs, arms)


def _reach(tree: _Tree, name: str) -> tuple[str, float]:
    """The lowest bone below ``name`` and its height."""
    lowest = min(tree.below(name), key=lambda bone: min(tree.head[bone][2], tree.tail[bone][2]))
    return lowest, float(min(tree.head[lowest][2], tree.tail[lowest][2]))


def _fork(tree: _Tree, names: list[str], low: float, high: float) -> tuple[list[str], str] | None:
    """The deepest bone whose branches are two legs (reaching the ground) and one spine (reaching above)."""
    ground = low + 0.15 * (high - low)
    for name in reversed(names):
        branches = tree.children[name]
        legs = [branch for branch in branches if _reach(tree, branch)[1] <= ground and len(tree.below(branch)) >= 2]
        tops = [
            branch
            for branch in branches
            if branch not in legs and max(tree.tail[bone][2] for bone in tree.below(branch)) > low + 0.7 * (high - low)
        ]
        if len(legs) == 2 and tops:
            return legs, max(tops, key=lambda branch: len(tree.below(branch)))
    return None


def _arms(tree: _Tree, spine: str) -> tuple[list[str], str] | None:
    """Two long branches on opposite sides of the first forking spine bone, and the branch of the head."""
    for name in tree.below(spine):
        branches = tree.children[name]
        if len(branches) < 3:
            continue
        centre = tree.head[name]
        spread = {
            branch: max(float(np.hypot(*(tree.tail[bone] - centre)[:2])) for bone in tree.below(branch))
            for branch in branches
        }
        arms = sorted((branch for branch in branches if len(tree.below(branch)) >= 2), key=lambda b: -spread[b])[:2]
        heads = [branch for branch in branches if branch not in arms]
        if len(arms) == 2 and heads:
            top = max(heads, key=lambda branch: max(tree.tail[bone][2] for bone in tree.below(branch)))
            return arms, top
    return None


def _longest_chain(tree: _Tree, start: str) -> list[str]:
    """Down the child that carries the most bones below it, until a hand or foot forks or the chain ends."""
    chain = [start]
    while tree.children[chain[-1]]:
        children = tree.children[chain[-1]]
        if len(children) >= 3:
            break
        chain.append(max(children, key=lambda child: (len(tree.below(child)), np.linalg.norm(tree.tail[child]))))
    return chain


def _limb(tree: _Tree, start: str, clavicle: bool) -> list[str] | None:
    """Three bones of a limb: those whose heads are the root, the strongest bend or longest split, and the end."""
    chain = _longest_chain(tree, start)
    lengths = [float(np.linalg.norm(tree.tail[bone] - tree.head[bone])) for bone in chain]
    if clavicle and len(chain) >= 4:
        chain, lengths = chain[1:], lengths[1:]
    longest = max(lengths, default=0.0)
    real = [bone for bone, length in zip(chain, lengths, strict=True) if length > 0.25 * longest]
    if len(real) < 2:
        return None
    first = chain.index(real[0])
    return chain[first : first + 4] if len(chain) - first >= 2 else None


def _name_limbs(tree: _Tree, legs: list[str], arms: tuple[list[str], str]) -> dict[str, str]:
    leg_chains = [_limb(tree, leg, clavicle=False) for leg in legs]
    arm_chains = [_limb(tree, arm, clavicle=True) for arm in arms[0]]
    if any(chain is None for chain in (*leg_chains, *arm_chains)):
        return {}
    named: dict[str, str] = {}
    left = _left_axis(tree, [chain for chain in leg_chains if chain])
    centre = sum(tree.head[leg] for leg in legs) / 2.0
    for chains, joints in (
        (leg_chains, ("thigh", "shin", "foot", "toe")),
        (arm_chains, ("upper_arm", "forearm", "hand")),
    ):
        for chain in chains:
            middle = np.mean([tree.head[bone] for bone in chain or ()], axis=0)
            side = "L" if float((middle - centre) @ left) > 0.0 else "R"
            named |= {f"{joint}.{side}": bone for joint, bone in zip(joints, chain or (), strict=False)}
    parent = {child: bone for bone, children in tree.children.items() for child in children}
    named["hips"] = parent[legs[0]]
    named["neck"] = arms[1]
    named["head"] = _head(tree, arms[1])
    return named


def _head(tree: _Tree, neck: str) -> str:
    """The last bone up the neck before the face forks."""
    bone = neck
    while len(tree.children[bone]) == 1 and tree.children[tree.children[bone][0]]:
        bone = tree.children[bone][0]
    return tree.children[bone][0] if len(tree.children[bone]) == 1 and bone == neck else bone


def _left_axis(tree: _Tree, chains: list[list[str]]) -> np.ndarray:
    """Left = up x forward, where forward is where the feet point; +X when they tell nothing."""
    feet = [tree.tail[chain[-1]] - tree.head[chain[min(2, len(chain) - 1)]] for chain in chains]
    forward = np.array([*np.sum(feet, axis=0)[:2], 0.0])
    if np.linalg.norm(forward) < 1e-6:
        forward = np.array([0.0, -1.0, 0.0])
    across = tree.head[chains[0][0]] - tree.head[chains[1][0]]
    across[2] = 0.0
    left = np.cross(np.array([0.0, 0.0, 1.0]), forward)
    return across * np.sign(float(across @ left) or 1.0)
