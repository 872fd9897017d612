"""Limbs, joints and what is said of characters."""

WORDS = {
    "upper arms": "上臂",
    "forearms": "前臂",
    "thighs": "大腿",
    "shins": "小腿",
    "torso": "躯干",
    "shoulders": "肩部",
    "head": "头部",
    "legs": "腿部",
    "arms": "手臂",
    "Kept as they are: {names}": "保持原样：{names}",
    "The reference of {name} is sent as it is": "{name} 的参考图按原样发送",
    "{name} has no bones that are recognised as a person's: choose its bones in Bone Map, or keep it as it is": (
        "{name} 没有能识别为人体的骨骼：请在骨骼映射中选择骨骼，或让它保持原样"
    ),
    "As large as {name} is in the first frame, the reference's face is {pixels} pixels high; likeness needs {least}": (
        "按 {name} 在首帧中的大小，参考图的脸高 {pixels} 像素；要像本人需要 {least} 像素"
    ),
    "Every character has the bones of a person": "每个角色都有人体的骨骼",
    "Keep {name}": "保留 {name}",
    "Send It As It Is": "按原样发送",
    "Hips": "髋部",
    "Chest": "胸部",
    "Neck": "颈部",
    "Head": "头部",
    "Clavicle": "锁骨",
    "Upper Arm": "上臂",
    "Forearm": "前臂",
    "Hand": "手",
    "Thigh": "大腿",
    "Shin": "小腿",
    "Foot": "脚",
    "Toe": "脚趾",
    "Eye": "眼睛",
    "Thumb": "拇指",
    "Index": "食指",
    "Middle": "中指",
    "Ring": "无名指",
    "Pinky": "小指",
}
"""English -> Chinese."""
