"""The paper's prompts, byte for byte (arXiv 2312.02120; the public code as run for the paper). Nothing else is here."""

from __future__ import annotations

OSS_INSTRUCT_SYSTEM = (
    "You are exceptionally skilled at crafting high-quality programming problems and offering precise solutions."
)

_OSS_INSTRUCT_USER = """\
Please gain inspiration from the following random code snippet to create a high-quality programming problem. \
Present your output in two distinct sections: [Problem Description] and [Solution].

Code snippet for inspiration:
```
{code}
```

Guidelines for each section:

1. [Problem Description]: This should be **completely self-contained**, providing all the contextual information \
one needs to understand and solve the problem. Assume common programming knowledge, but ensure that any specific \
context, variables, or code snippets pertinent to this problem are explicitly included.

2. [Solution]: Offer a comprehensive, **correct** solution that accurately addresses the [Problem Description] you \
provided."""

_MAGICODER = """\
You are an exceptionally intelligent coding assistant that consistently delivers accurate and reliable responses to \
user instructions.

@@ Instruction
{instruction}

@@ Response
{response}"""

_EVOLVE = """\
Please increase the difficulty of the given programming test question a bit.

You can increase the difficulty using, but not limited to, the following methods:
{method}

#Given Test#
{question}

#Rewritten Test#
"""

EVOLVE_METHODS = (
    "Add new constraints and requirements to the original problem, adding approximately 10 additional words.",
    "Replace a commonly used requirement in the programming task with a less common and more specific one.",
    "If the original problem can be solved with only a few logical steps, please add more reasoning steps.",
    "Provide a piece of erroneous code as a reference to increase misdirection.",
    "Propose higher time or space complexity requirements, but please refrain from doing so frequently.",
)
"""The five heuristics of Code Evol-Instruct (WizardCoder, arXiv 2306.08568, section 3.1)."""


def oss_instruct(code: str) -> str:
    """The teacher's user message for one seed (PROTOCOL section 2)."""
    return _OSS_INSTRUCT_USER.replace("{code}", code)


def magicoder(instruction: str, response: str = "") -> str:
    """The training and inference prompt (section 4); without a response, everything before it."""
    return _MAGICODER.format(instruction=instruction, response=response)


def oss_instruct_instruction(problem: str) -> str:
    """The instruction that an OSS-Instruct problem becomes in training (section 4)."""
    return f"Write a solution to the following coding problem:\n{problem}"


def evolve(question: str, method: str) -> str:
    """The Code Evol-Instruct request that rewrites `question` by one of `EVOLVE_METHODS`."""
    return _EVOLVE.format(method=method, question=question)


def humaneval(prompt: str) -> tuple[str, str]:
    """HumanEval(+): the instruction and the pre-filled start of the response (section 5)."""
    code = prompt.strip()
    return f"Write a solution to the following problem:\n```python\n{code}\n```", f"```python\n{code}"


def mbpp(prompt: str) -> tuple[str, str]:
    """MBPP(+): the instruction and the pre-filled start of the response (section 5), from EvalPlus' docstring prompt."""
    text = prompt[prompt.index('"""') + 3 : prompt.rindex('"""')]
    at = text.index("assert")
    problem, assertion = text[:at].strip(), text[at:].strip()
    if not problem.endswith("."):
        problem += "."
    return (
        f"{problem} Your code should satisfy the following assertion:\n```python\n{assertion}\n```",
        "```python",
    )


def ds1000(prompt: str) -> tuple[str, str]:
    """DS-1000, completion mode: the instruction and the start of the response (section 5), for the three prompt shapes."""
    if "SOLUTION START" in prompt:
        code = prompt[: prompt.rindex("# SOLUTION START")].strip()
        instruction = f"Write a solution to the following problem:\n```python\n{code}\n```"
        return _fenced(instruction), _fenced(f"```python\n{code}\n# Solution\n")
    at = prompt.rindex("A:")
    instruction = prompt[:at].strip().removeprefix("Problem:").strip()
    lines = prompt[at + len("A:") :].strip().splitlines(keepends=True)
    if "### BEGIN SOLUTION" in prompt:  # two comment lines and the mark, inside a function's body
        start = "".join(lines[:-3]).strip()
        mark = lines[-1].replace("###", "#").replace("BEGIN SOLUTION", "Solution")
        return _fenced(instruction), _fenced(f"{start}\n{mark}\n")
    # `</code>`, maybe a sentence, `BEGIN SOLUTION`, `<code>`: the sentence becomes a comment.
    if lines[-4].strip() == "</code>":
        head, sentences = lines[:-4], lines[-3:-2]
    elif lines[-6].strip() == "</code>":
        head, sentences = lines[:-6], lines[-5:-2]
    else:
        head, sentences = lines[:-3], []
    start = "".join([*head, *(f"# {line.lstrip()}" for line in sentences)]).strip()
    return _fenced(instruction), _fenced(f"{start}\n# Solution\n")


def _fenced(text: str) -> str:
    return text.replace("<code>", "```python").replace("</code>", "```")
