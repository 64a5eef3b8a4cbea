"""From "invoke this" to "here is the result"."""
