"""The `vm` level's machinery: QEMU machines, booted once and copied."""
