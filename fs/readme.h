/* The text of MNT/README. */
#pragma once

extern const char readme_text[];
