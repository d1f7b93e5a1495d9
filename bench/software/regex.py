"""Searches a text with regular expressions."""
import re

with open("/data/text", encoding="utf-8", errors="replace") as f:
    text = f.read()[:800000]
for pattern in (r"\bdef (\w+)\(", r"(\w+)\s*=\s*\1", r"[A-Z][a-z]+Error\b", r"(?:for|while) .{1,60}:$", r"\"\"\".*?\"\"\""):
    print(pattern, len(re.findall(pattern, text, re.M | re.S)))
