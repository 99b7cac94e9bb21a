#pragma once

// What the system says of this process, in the names that Prometheus' own clients use. Any thread.

#include <prometheus/metric_family.h>

#include <vector>

namespace relay {

/// CPU time, memory, open files, the time of its start. What the system does not tell is left out.
std::vector<prometheus::MetricFamily> process_figures();

}  // namespace relay
