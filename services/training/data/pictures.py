"""Emoji that people put in the place of a character or word, for what they show or what they sound like.

Each entry is the picture, then what it stands for. Short and hand-written, because it is what people type.
"""

from __future__ import annotations

__all__ = ["PICTURES_EN", "PICTURES_ZH"]


def _by_word(*entries: str) -> dict[str, str]:
    return {word: entry.split(" ")[0] for entry in entries for word in entry.split(" ")[1:]}


PICTURES_ZH = _by_word(
    "🐴 马 妈", "🐶 狗", "🐷 猪", "🐔 鸡", "🐮 牛", "🐒 猴", "🦆 鸭", "🐢 龟", "🥚 蛋", "🐛 虫",
    "🐍 蛇", "🐦 鸟", "🐟 鱼", "🐑 羊", "🐯 虎",
    "🐲 龙", "🐭 鼠", "🐻 熊", "🐺 狼", "💀 死", "👻 鬼", "💩 屎 粪", "🌿 草 操 艹", "🔪 杀 刀",
    "🔫 枪", "💣 炮", "💥 炸 爆", "🔥 火",
    "💊 药", "☠️ 毒", "🍺 酒", "🍵 茶", "🍉 瓜", "🍴 吃", "🌞 日", "👨 男", "👩 女 娘", "👤 人",
    "👴 老", "👵 婆", "⚫ 黑", "⚪ 白",
    "🟢 绿", "✋ 手", "👄 嘴", "👅 舔", "🦶 脚", "🦵 腿", "🧠 脑", "❤️ 心", "👀 眼 看", "😂 笑",
    "😭 哭", "💰 钱", "🚗 车", "🏠 家",
    "🛞 滚", "😷 病", "💸 穷", "🤪 蠢 傻", "🤡 丑", "🤢 臭", "🤮 吐", "👊 拳 打", "🈚 裸", "👥 群",
    "➕ 微 加", "✉️ 信", "🎲 赌", "🌸 花",
    "💧 水", "🇨🇳 国", "🇺🇸 美",
)  # fmt: skip

PICTURES_EN = _by_word(
    "🐶 dog", "🐶🐶 dogs", "🐷 pig", "🐷🐷 pigs", "🐀 rat vermin", "🐀🐀 rats",
    "🐒 monkey", "🐒🐒 monkeys", "🐍 snake",
    "🐍🐍 snakes", "🐄 cow", "🫏 donkey", "🍑 ass", "💩 shit crap",
    "💀 die dead death", "🔪 kill killed knife stab",
    "🔫 gun shoot", "🔫🔫 guns", "💣 bomb", "💣💣 bombs", "🔥 fire burn hell",
    "💰 money", "💵 cash", "💊 pills drugs",
    "🍁 weed", "🍺 beer", "👩 woman", "👩👩 women", "👧 girl", "👧👧 girls",
    "🐕 bitch", "👨 man", "👨👨 men", "👦 boy",
    "⚫ black", "⚫⚫ blacks", "⚪ white", "🏳️‍🌈 gay gays", "🏳️‍⚧️ trans",
    "☪️ muslim muslims", "✡️ jew jews",
    "✝️ christian", "🛂 immigrants", "🗑️ trash garbage",
    "🤡 clown clowns idiot", "🤪 stupid crazy", "🤢 sick",
    "🤮 disgusting", "🍆 dick", "🐓 cock", "🐱 pussy", "🍆🍑 sex", "❤️ love",
    "😡 hate", "👀 eyes", "🦍 ape apes",
    "🏠 house", "🍔 food",
)  # fmt: skip
