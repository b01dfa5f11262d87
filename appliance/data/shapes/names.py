"""Names that columns and turns commonly have, in English and Chinese, by what they mean."""

import re
from collections.abc import Mapping
from types import MappingProxyType

PROMPT = (
    "prompt", "instruction", "question", "query", "user", "human", "ask",
    "问题", "提问", "问", "问句", "用户问题", "患者问题", "患者提问", "咨询问题", "咨询内容",
    "患者咨询", "病人问题", "指令", "提示词", "题目",
)  # fmt: skip
RESPONSE = (
    "response", "completion", "output", "answer", "reply", "assistant",
    "答案", "回答", "回复", "答", "答复", "解答", "医生回答", "医生回复", "医生答复", "医生解答",
    "医师回答", "医师回复", "医师答复", "参考答案", "标准答案", "输出",
)  # fmt: skip

ALPACA: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {"prompt": ("instruction", "指令"), "query": ("input", "输入"), "response": ("output", "输出")}
)
PAIRS: Mapping[str, tuple[str, ...]] = MappingProxyType({"prompt": PROMPT, "response": RESPONSE})
TURNS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "messages": (
            "messages",
            "conversations",
            "conversation",
            "dialogue",
            "dialog",
            "turns",
            "对话",
            "多轮对话",
        )
    }
)
TEXT: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {"text": ("text", "content", "document", "正文", "文本", "内容", "全文")}
)
BESIDE: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "thinking": (
            "thinking", "reasoning", "thought", "thoughts", "cot", "complex_cot", "reasoning_content",
            "chain_of_thought", "思考", "思考过程", "推理", "推理过程", "思维链",
        ),
        "system": ("system", "system_prompt", "系统", "系统提示", "系统提示词"),
        "history": ("history", "历史", "历史对话"),
        "tools": ("tools", "functions", "工具"),
        "chosen": ("chosen", "chosen_response", "更好的回答", "较好的回答", "优选回答"),
        "rejected": ("rejected", "rejected_response", "rejected_messages", "更差的回答", "较差的回答"),
        "kto_tag": ("kto_tag", "label", "标签", "是否合格"),
        "images": ("images", "image", "图片", "图像"),
        "videos": ("videos", "video", "视频"),
        "audios": ("audios", "audio", "音频"),
    }
)  # fmt: skip
"""What a row may have beside its conversation, whatever its shape."""

BESIDE_A_NAME = re.compile(r"\([^()]*\)|（[^（）]*）|[\s_*:：-]")

ROLE_TAGS = ("role", "from", "speaker", "角色")
CONTENT_TAGS = ("content", "value", "text", "内容")


def plain(name: str) -> str:
    """A name of a column without what people write differently: case, spaces, lines, remarks in brackets."""
    return BESIDE_A_NAME.sub("", name).lower() or name


def fields_of(names: Mapping[str, tuple[str, ...]]) -> dict[str, str]:
    """What each plain name means."""
    return {plain(name): field for field, known in names.items() for name in known}
