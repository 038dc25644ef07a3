"""Echoes frames with a length of four octets, as Erlang's ports send them; stdlib only."""

import os


def main() -> None:
    """Until end of file."""
    waiting = b""
    while data := os.read(0, 65_536):
        waiting += data
        end = 0
        while len(waiting) - end >= 4:
            size = int.from_bytes(waiting[end : end + 4])
            if len(waiting) - end - 4 < size:
                break
            end += 4 + size
        os.write(1, waiting[:end])
        waiting = waiting[end:]


if __name__ == "__main__":
    main()
