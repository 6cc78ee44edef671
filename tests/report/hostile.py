"""Text that tries to break out of a page, a script, a table or a label."""

HOSTILE = (
    "</script><script>window.hacked = 1</script>",
    "<img src=x onerror='window.hacked = 2'>",
    "\"'><svg onload=window.hacked=3>",
    "<!-- <script> ]]> --!>",
    "{{ 7 * 7 }}{% raw %}",
    "NUL \x00 bell \x07 escape \x1b[31m",
    "line\u2028paragraph\u2029next\x85line",
    "lone surrogate \ud800 end",
    "right to left \u202e gnp.exe",
    "a|b\\c`d`*e*_f_[g](h) $x$ #1 ~ ^ & % {} \\",
    "<b>bold</b><a href='javascript:window.hacked=4'>link</a>",
)
