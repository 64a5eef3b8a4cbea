"""The other side of the wall: what runs inside a jail. Standard library only; the host never imports it."""
