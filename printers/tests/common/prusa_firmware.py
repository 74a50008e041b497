"""A Prusa MK3S that is only its serial line: the firmware's half of the conversation, with no printer behind it.

    prusa_firmware.py LINK

makes a pseudo-terminal, and LINK as a symbolic link to it for whoever wants to be the printer's host. It answers what
a host asks (who it is, its EEPROM, its card, the figures of a print), checks numbered lines and their checksums, and
acts like a printer where that can be seen from outside: moves take their time behind a planner of 16, temperatures go
to their targets, and M601, M602 and M603 park, go on and stop, and are announced as `// action:`.

What happens at the printer itself is told on standard input, a line each: `click`, somebody presses the knob, which
ends an M0; `kill`, the firmware halts itself as it does when a heater runs away. The end of standard input ends it.
"""

import os
import re
import select
import sys
import termios
import time
import tty
from collections import deque

SERIAL_NUMBER = "CZPX0124X004XK00042"
FIRMWARE = "3.14.0-8094"
TYPE, NOZZLE = 302, 0.4
PLANNER = 16
# Seconds between the lines of a firmware that is busy, and of one that heats.
KEEPALIVE, HEATING = 2, 1
# Degrees per second, of printers that are tested by people in a hurry.
NOZZLE_HEATS, BED_HEATS, ROOM = 60, 40, 21
# Seconds to home, and to park or to come back.
HOMING, PARKING = 1, 0.5
# Seconds in which a host that has heard an answer does what it does next, before it hears the `ok`. A real printer
# takes some too; where it takes none, threads of PrusaLink 0.8.1 overtake each other.
SETTLING = 0.5
JOB_ID = 0x0D05
# What has no effect that could be seen.
SILENT = {"G21", "M17", "M72", "M75", "M76", "M77", "M79", "M84", "M106", "M107", "M117", "M201", "M203", "M204",
          "M205", "M300", "M552", "M862.3", "M862.5", "M862.6", "M900", "M907"}


class Firmware:
    def __init__(self, line):
        self.line, self.rest, self.lines = line, b"", deque()
        self.number = 0
        self.at, self.wanted = [0.0, 0.0, 0.15, 0.0], [0.0, 0.0, 0.15, 0.0]
        self.planner = deque()
        self.is_relative = self.is_relative_e = False
        self.feed = 3000.0
        self.temperature, self.target = [ROOM, ROOM], [0.0, 0.0]
        self.warmed = time.monotonic()
        # As a host that was here before has left it.
        self.reports, self.every, self.reported = 7, 1, 0.0
        self.figures = dict.fromkeys("PRDQSC", -1)
        self.is_paused = self.is_clicked = self.is_halted = False
        self.eeprom = bytearray(0x1000)
        self.eeprom[JOB_ID:JOB_ID + 4] = (41).to_bytes(4, "big")
        self.eeprom[0x0D49:0x0D49 + 88] = b"".join(b"Sheet%d \xff\xff\0\0" % sheet for sheet in range(1, 9))

    # --- The line, and what goes on beside it ---

    def say(self, *lines):
        for said in lines:
            os.write(self.line, said.encode("ascii") + b"\n")

    def serve(self):
        self.say("start")
        while True:
            while self.lines:
                self.hear(self.lines.popleft())
            self.look(1.0)

    def look(self, patience):
        """Reads what there is, and lets time pass in the printer."""
        ready, _, _ = select.select([self.line, sys.stdin], [], [], min(patience, 0.05) if self.planner else patience)
        if sys.stdin in ready:
            self.at_the_printer(os.read(sys.stdin.fileno(), 1024))
        if self.line in ready:
            *lines, self.rest = (self.rest + os.read(self.line, 1024)).split(b"\n")
            self.lines.extend(lines)
        self.pass_time()

    def pass_time(self):
        now = time.monotonic()
        while self.planner and self.planner[0][0] <= now:
            self.at = self.planner.popleft()[1]
        for heater, speed in enumerate([NOZZLE_HEATS, BED_HEATS]):
            goal = self.target[heater] or ROOM
            step = min(abs(goal - self.temperature[heater]), speed * (now - self.warmed))
            self.temperature[heater] += step if goal > self.temperature[heater] else -step
        self.warmed = now
        if self.every and not self.is_halted and now - self.reported >= self.every:
            self.reported = now
            self.report()

    def report(self):
        if self.reports & 1:
            (nozzle, bed), (to, bed_to) = self.temperature, self.target
            heaters = f"T:{nozzle:.1f} /{to:.1f} B:{bed:.1f} /{bed_to:.1f} T0:{nozzle:.1f} /{to:.1f}"
            self.say(f"{heaters} @:0 B@:0 P:21.0 A:25.0")
        if self.reports & 2:
            self.say("E0:0 RPM PRN1:0 RPM E0@:0 PRN1@:0")
        if self.reports & 4:
            x, y, z, e = self.at
            self.say(f"X:{x:.2f} Y:{y:.2f} Z:{z:.2f} E:{e:.2f} Count X: {x:.2f} Y:{y:.2f} Z:{z:.2f} E:{e:.2f}")

    def at_the_printer(self, said):
        if not said:
            sys.exit()
        self.is_clicked |= b"click" in said
        if b"kill" in said:
            self.is_halted = True
            self.planner.clear()
            self.target = [0.0, 0.0]
            self.say("Error:Heaters switched off. MAXTEMP triggered!", "Error:Printer halted. kill() called!")

    def wait(self, is_so, says=lambda: "echo:busy: processing", every=KEEPALIVE):
        """Hears nothing until it is so, as a firmware that does one thing after the other."""
        said = time.monotonic()
        while not is_so() or self.is_halted:
            self.look(0.05)
            if time.monotonic() - said >= every and not self.is_halted:
                said = time.monotonic()
                self.say(says())

    def moved(self):
        self.wait(lambda: not self.planner)

    # --- What it is told ---

    def hear(self, line):
        command = line.decode("ascii", "replace").split(";")[0].strip()
        numbered = re.fullmatch(r"N(\d+) ?(.*?)(?:\*(\d+))?", command)
        if numbered:
            number, command = int(numbered[1]), numbered[2].strip()
            checksum = 0
            for byte in line[:line.rindex(b"*")] if b"*" in line else b"":
                checksum ^= byte
            if str(checksum) != numbered[3] or number != self.number + 1:
                last = f"Error:Line Number is not Last Line Number+1, Last Line: {self.number}"
                self.say(last, f"Resend: {self.number + 1}", "ok")
                return
            self.number = number
        if self.is_halted or not command:
            return
        self.carry_out(command)
        self.say("ok")

    def carry_out(self, command):
        code = command.split()[0]
        words = {word[0]: word[1:] for word in command.split()[1:]}
        value = {letter: float(text) for letter, text in words.items() if re.fullmatch(r"-?\d*\.?\d+", text)}
        action = getattr(self, code.replace(".", "_"), None)
        if command in ("PRUSA SN", "PRUSA Fir"):
            self.say(SERIAL_NUMBER if command.endswith("SN") else FIRMWARE)
        elif code[0] in "GMD" and action:
            action(words, value)
        elif code not in SILENT:
            self.say(f"Unknown {code[0]} code: {command}")

    def M110(self, _, value):
        self.number = int(value.get("N", 0))

    def M862_1(self, words, _):
        if "Q" in words:
            self.say(f"{NOZZLE:.2f}")

    def M862_2(self, words, _):
        if "Q" in words:
            self.say(f"{TYPE}")
            # PrusaLink goes on with this answer and flushes its queues. An `ok` in the midst of it makes it forget what
            # it sends next, and wait for ever: `SerialQueue._confirmed` looks before it locks.
            self.stay(SETTLING)

    def D3(self, words, value):
        at, count = int(words["A"][1:], 16), int(value.get("C", 0))
        given = bytes.fromhex(words.get("X", ""))
        self.eeprom[at:at + len(given)] = given
        self.say("D3 - Read/Write EEPROM")
        end = at + (count or len(given))
        for row in range(at, end, 16):
            self.say(f"{row:04x}  " + self.eeprom[row:min(row + 16, end)].hex(" "))

    def G0(self, _, value):
        self.feed = value.get("F", self.feed)
        to = list(self.wanted)
        for axis, letter in enumerate("XYZE"):
            is_relative = self.is_relative or (letter == "E" and self.is_relative_e)
            if letter in value:
                to[axis] = value[letter] + (to[axis] if is_relative else 0)
        way = [end - start for start, end in zip(self.wanted, to)]
        length = sum(part * part for part in way[:3]) ** 0.5 or abs(way[3])
        self.wait(lambda: len(self.planner) < PLANNER)
        begins = self.planner[-1][0] if self.planner else time.monotonic()
        self.planner.append((begins + length / (self.feed / 60), to))
        self.wanted = to

    G1 = G0

    def G4(self, _, value):
        self.moved()
        self.stay(value.get("S", 0) + value.get("P", 0) / 1000)

    def G28(self, *_):
        self.moved()
        self.stay(HOMING)
        self.at = self.wanted = [0.0, 0.0, 0.15, self.wanted[3]]

    def stay(self, seconds):
        end = time.monotonic() + seconds
        self.wait(lambda: time.monotonic() >= end)

    def G90(self, *_):
        self.is_relative = False

    def G91(self, *_):
        self.is_relative = True

    def M82(self, *_):
        self.is_relative_e = False

    def M83(self, *_):
        self.is_relative_e = True

    def G92(self, _, value):
        self.moved()
        self.wanted = [value.get(letter, now) for letter, now in zip("XYZE", self.wanted)]

    def M0(self, _, value):
        """Waits for somebody, or for so many seconds."""
        self.moved()
        self.is_clicked = False
        end = time.monotonic() + value["S"] if "S" in value else float("inf")
        self.wait(lambda: self.is_clicked or time.monotonic() >= end, lambda: "echo:busy: paused for user", 0.5)

    def M20(self, *_):
        self.say("Begin file list", "End file list")

    def M21(self, *_):
        self.say("echo:SD init fail")

    def M27(self, *_):
        self.say("Print saved" if self.is_paused else "Not SD printing")

    def M73(self, _, value):
        self.figures.update({letter: int(value[letter]) for letter in self.figures if letter in value})
        for mode, letters in {"SILENT": "QSC", "NORMAL": "PRD"}.items():
            done, left, change = (self.figures[letter] for letter in letters)
            time_left = f"print time remaining in mins: {left}; Change in mins: {change}"
            self.say(f"{mode} MODE: Percent done: {done}; {time_left}")

    def M104(self, _, value):
        self.target[0] = value.get("S", 0.0)

    def M140(self, _, value):
        self.target[1] = value.get("S", 0.0)

    def M109(self, words, value):
        self.M104(words, value)
        said = lambda: f"T:{self.temperature[0]:.1f} E:0 W:?"
        self.wait(lambda: self.temperature[0] >= self.target[0], said, HEATING)

    def M190(self, words, value):
        self.M140(words, value)
        said = lambda: f"T:{self.temperature[0]:.1f} E:0 B:{self.temperature[1]:.1f}"
        self.wait(lambda: self.temperature[1] >= self.target[1], said, HEATING)

    def M155(self, _, value):
        self.every, self.reports = value.get("S", 0), int(value.get("C", 1))

    def M220(self, *_):
        self.say("100%")

    M221 = M220

    def M400(self, *_):
        self.moved()
        # After this `ok` it sends M110, and its sender dies if `StartPrint` has not said by then what it prints.
        self.stay(SETTLING)

    def M420(self, *_):
        self.say("Mesh bed leveling not active.")

    def M601(self, *_):
        """Parks, once all moves that it has are done."""
        self.moved()
        self.stay(PARKING)
        self.is_paused = True
        self.say("// action:paused")

    def M602(self, *_):
        if self.is_paused:
            self.stay(PARKING)
            self.is_paused = False
            self.say("// action:resumed")

    def M603(self, *_):
        """Forgets the moves that it has, and cools down."""
        self.planner.clear()
        self.wanted = list(self.at)
        self.target = [0.0, 0.0]
        self.is_paused = False
        self.say("// action:cancel")


def main():
    ours, theirs = os.openpty()
    # Its own end stays open: the line is there before the host comes, and after it has gone.
    tty.setraw(theirs, termios.TCSANOW)
    os.symlink(os.ttyname(theirs), sys.argv[1])
    Firmware(ours).serve()


main()
