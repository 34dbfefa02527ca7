"""How a judge learns that a program has come to the end of its tests: code put after them prints the sum of two random numbers.

All that stands in the program is a call with the two numbers. Whatever a program declares, redefines, closes or replaces, the call
means what it meant before, since it uses no name that a program can have:

    cpp    a function with a random name, defined before the program's first line, where no macro of its own is known yet
    java   a class in a package of its own, compiled as a file of its own, so that classes of the program are not seen in it
    js     a method of numbers with a random name, called on a literal; a file that node reads first has put it there
    php    a built-in function by its absolute name, which no namespace changes and nobody can declare again
    rs     a function of another crate, which is looked for after everything else and holds no unsafe code of the program's
    swift  a function of another module; its import stands after the tests, and brings one name

The sum goes to descriptor `CHANNEL`, a second standard error that the shell opens: the program may have closed or redirected the
first. Java, which cannot write to a number, takes its standard output and error, whatever streams stand on them now.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field

CHANNEL = 9
_OWN = "magicoder_tests"  # the name of our package, crate or module
_LEAST = 1 << 50  # of each number: their sum is exact in every language, JavaScript's floats too

# Numbers are written without any library: `write`, too, is a name that a program may give to something of its own.
_CPP = """\
static void NAME(unsigned long long sum, unsigned long long other) {
    char text[32]; char* at = text + 31; *at = '\\n';
    for (sum += other; sum; sum /= 10) *--at = '0' + sum % 10;
    *--at = '\\n'; unsigned long size = text + 32 - at;
#if defined(__x86_64__)
    long call = 1;
    __asm__ volatile("syscall" : "+a"(call) : "D"(CHANNELL), "S"(at), "d"(size) : "rcx", "r11", "memory");
#elif defined(__aarch64__)
    register long channel __asm__("x0") = CHANNEL; register char* from __asm__("x1") = at;
    register unsigned long length __asm__("x2") = size; register long call __asm__("x8") = 64;
    __asm__ volatile("svc 0" : "+r"(channel) : "r"(from), "r"(length), "r"(call) : "memory");
#else
    extern long NAME_write(int, const void*, unsigned long) __asm__("write");
    NAME_write(CHANNEL, at, size);
#endif
}
#line 1
"""
_JAVA = """\
package magicoder_tests;

import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.IOException;

public final class Ended {
    public static void sum(long one, long other) {
        byte[] text = "\\n".concat(Long.toString(one + other)).concat("\\n").getBytes();
        for (FileDescriptor stream : new FileDescriptor[] {FileDescriptor.out, FileDescriptor.err}) {
            try {
                new FileOutputStream(stream).write(text);
            } catch (IOException closed) {
                continue;
            }
        }
    }
}
"""
_JS = """\
'use strict';
const {writeSync} = require('node:fs');
const value = (one, other) => {
  const text = `\\n${one + other}\\n`;
  for (;;) {
    try {
      return writeSync(CHANNEL, text);
    } catch (error) {
      if (error.code !== 'EAGAIN') return 0; // else the pipe is full: it is being read
    }
  }
};
Object.defineProperty(Number.prototype, 'NAME', {value});
"""
_RUST = """\
#![no_std]

pub fn ended(one: u64, other: u64) {
    let mut text = [b'\\n'; 32];
    let (mut at, mut sum) = (31, one.wrapping_add(other));
    while sum > 0 {
        at -= 1;
        text[at] = b'0' + (sum % 10) as u8;
        sum /= 10;
    }
    write(&text[at - 1..]);
}

#[cfg(target_arch = "x86_64")]
fn write(text: &[u8]) {
    unsafe {
        core::arch::asm!("syscall", inlateout("rax") 1usize => _, in("rdi") CHANNELusize, in("rsi") text.as_ptr(),
            in("rdx") text.len(), lateout("rcx") _, lateout("r11") _);
    }
}

#[cfg(target_arch = "aarch64")]
fn write(text: &[u8]) {
    unsafe {
        core::arch::asm!("svc 0", in("x8") 64usize, inlateout("x0") CHANNELusize => _, in("x1") text.as_ptr(),
            in("x2") text.len());
    }
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn write(text: &[u8]) {
    extern "C" {
        fn write(file: i32, text: *const u8, size: usize) -> isize;
    }
    unsafe {
        write(CHANNEL, text.as_ptr(), text.len());
    }
}
"""
_SWIFT = """\
import Glibc

public func ended(_ one: UInt64, _ other: UInt64) {
    let text = Array("\\n\\(one &+ other)\\n".utf8)
    _ = write(CHANNEL, text, text.count)
}
"""


@dataclass(frozen=True)
class Ending:
    """What a language needs. In all texts NAME stands for a random name, ONE and OTHER for the numbers.

    `library`: our side where it is compiled once, apart from the programs: its source, the options of the compiler that makes
    `products` of it, and the options with which programs are compiled then.
    """

    call: str
    closing: int = 0  # how many brackets end the tests: the call goes before them
    before: str = ""  # the program
    files: Mapping[str, str] = field(default_factory=dict)  # beside the program
    library: tuple[str, str] | None = None  # its file and content
    products: tuple[str, ...] = ()
    making: tuple[str, ...] = ()
    using: tuple[str, ...] = ()


JAVA_FILE, JS_FILE = f"{_OWN}/Ended.java", f"{_OWN}.js"
ENDINGS = {
    "cpp": Ending("NAME(ONEull, OTHERull);", closing=1, before=_CPP),
    "java": Ending(f"{_OWN}.Ended.sum(ONEL, OTHERL);", closing=2, files={JAVA_FILE: _JAVA}),
    "js": Ending("\n;(0)['NAME'](ONE, OTHER);", files={JS_FILE: _JS}),
    "php": Ending('\n\\file_put_contents(\'php://fd/CHANNEL\', "\\n" . (ONE + OTHER) . "\\n");'),
    "rs": Ending(
        f"{_OWN}::ended(ONE, OTHER);",
        closing=1,
        library=(f"{_OWN}.rs", _RUST),
        products=(f"lib{_OWN}.rlib",),
        making=("--crate-type", "rlib", f"{_OWN}.rs"),
        using=("--extern", f"{_OWN}=lib{_OWN}.rlib"),
    ),
    "swift": Ending(
        f"\nimport {_OWN}\n{_OWN}.ended(ONE, OTHER)\n",
        library=(f"{_OWN}.swift", _SWIFT),
        products=(f"{_OWN}.swiftmodule", f"{_OWN}.o"),
        making=(
            *("-parse-as-library", "-module-name", _OWN, "-emit-module", "-emit-module-path", f"{_OWN}.swiftmodule"),
            *("-c", f"{_OWN}.swift", "-o", f"{_OWN}.o"),
        ),
        using=("-I", ".", f"{_OWN}.o"),
    ),
}


def numbers() -> tuple[int, int]:
    """Two for one program."""
    return _LEAST + secrets.randbelow(_LEAST), _LEAST + secrets.randbelow(_LEAST)


def told(program: str, tests: str, language: str, pair: tuple[int, int]) -> str | None:
    """The program with the call after its tests (where they come last); None when the tests are not in it."""
    at = end_of_tests(program, tests)
    if at is None:
        return None
    ending, first = ENDINGS[language], at - len(tests.strip())
    for _ in range(ending.closing):
        at = program.rindex("}", first, at)
    return _filled(ending.before, pair) + program[:at] + _filled(ending.call, pair) + program[at:]


def files(language: str, pair: tuple[int, int]) -> dict[str, str]:
    """What stands beside the program."""
    return {path: _filled(text, pair) for path, text in ENDINGS[language].files.items()}


def library(language: str) -> dict[str, str]:
    """The source of what is compiled once, apart from the programs."""
    source = ENDINGS[language].library
    return {} if source is None else {source[0]: _filled(source[1], (0, 0))}


def end_of_tests(program: str, tests: str) -> int | None:
    """The place after the tests' last occurrence. Backwards, since only `find` takes linear time whatever the text."""
    wanted = tests.strip()[::-1]
    found = program[::-1].find(wanted)
    return None if found < 0 else len(program) - found


def _filled(text: str, pair: tuple[int, int]) -> str:
    name = f"told_{hashlib.sha256(repr(pair).encode()).hexdigest()[:16]}"
    for word, value in (("NAME", name), ("ONE", pair[0]), ("OTHER", pair[1]), ("CHANNEL", CHANNEL)):
        text = text.replace(word, str(value))
    return text
