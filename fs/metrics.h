/* The text of MNT/metrics, in the Prometheus text format. */
#pragma once

#include "fs/mount.h"

GString *metrics_text(struct fs *fs);
