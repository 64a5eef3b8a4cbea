"""Dates as HTTP headers have them. (`email.utils` writes them too, and takes a hundredth of a second to import.)"""

from time import gmtime

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def http_date(unix_s: float) -> str:
    """`Sun, 06 Nov 1994 08:49:37 GMT`, whatever the locale."""
    at = gmtime(unix_s)
    time = f"{at.tm_hour:02d}:{at.tm_min:02d}:{at.tm_sec:02d}"
    return f"{_DAYS[at.tm_wday]}, {at.tm_mday:02d} {_MONTHS[at.tm_mon - 1]} {at.tm_year:04d} {time} GMT"
