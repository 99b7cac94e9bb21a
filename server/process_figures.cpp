#include "server/process_figures.hpp"

#include <sys/resource.h>
#include <unistd.h>

#include <charconv>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <string>

#include "server/descriptors.hpp"

namespace relay {
namespace {

using prometheus::MetricFamily;
using prometheus::MetricType;

void add(std::vector<MetricFamily>& out, const char* name, const char* help, MetricType type, double value) {
  MetricFamily f;
  f.name = name;
  f.help = help;
  f.type = type;
  prometheus::ClientMetric m;
  if (type == MetricType::Counter)
    m.counter.value = value;
  else
    m.gauge.value = value;
  f.metric.push_back(std::move(m));
  out.push_back(std::move(f));
}

std::string text_of(const char* file) {
  std::ifstream in(file);
  return {std::istreambuf_iterator<char>(in), {}};
}

// proc(5): fields of /proc/self/stat after the name, which may hold anything; the first of them is the third.
std::vector<std::string> fields_of_stat() {
  const std::string stat = text_of("/proc/self/stat");
  std::vector<std::string> out;
  for (std::size_t at = stat.rfind(')'); at != std::string::npos && at + 1 < stat.size();) {
    const std::size_t begin = at + 2;
    at = stat.find(' ', begin);
    out.push_back(stat.substr(begin, at == std::string::npos ? at : at - begin));
    if (at != std::string::npos) --at;
  }
  return out;
}

std::optional<double> number(const std::string& text) {
  double out = 0;
  const auto read = std::from_chars(text.data(), text.data() + text.size(), out);
  return read.ec == std::errc{} ? std::optional(out) : std::nullopt;
}

// Seconds since 1970 at which the machine was started.
std::optional<double> boot_time() {
  const std::string stat = text_of("/proc/stat");
  const std::size_t at = stat.find("btime ");
  return at == std::string::npos ? std::nullopt : number(stat.substr(at + 6, 20));
}

}  // namespace

std::vector<prometheus::MetricFamily> process_figures() {
  std::vector<MetricFamily> out;
  rusage used{};
  if (::getrusage(RUSAGE_SELF, &used) == 0) {
    const auto seconds = [](const timeval& t) {
      return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6;
    };
    add(out, "process_cpu_seconds_total", "CPU time that the process has taken", MetricType::Counter,
        seconds(used.ru_utime) + seconds(used.ru_stime));
  }
  constexpr std::size_t start_field = 22 - 3, virtual_field = 23 - 3, resident_field = 24 - 3;
  const std::vector<std::string> fields = fields_of_stat();
  if (fields.size() > resident_field) {
    const auto start = number(fields[start_field]);
    const auto booted = boot_time();
    if (start && booted)
      add(out, "process_start_time_seconds", "When the process was started, in seconds since 1970",
          MetricType::Gauge, *booted + *start / static_cast<double>(::sysconf(_SC_CLK_TCK)));
    if (const auto bytes = number(fields[virtual_field]))
      add(out, "process_virtual_memory_bytes", "Address space of the process", MetricType::Gauge, *bytes);
    if (const auto pages = number(fields[resident_field]))
      add(out, "process_resident_memory_bytes", "Memory of the process", MetricType::Gauge,
          *pages * static_cast<double>(::sysconf(_SC_PAGESIZE)));
  }
  std::error_code ec;
  std::filesystem::directory_iterator files("/proc/self/fd", ec);
  if (!ec)
    add(out, "process_open_fds", "Open files and sockets", MetricType::Gauge,
        static_cast<double>(std::distance(begin(files), end(files))));
  add(out, "process_max_fds", "The most files and sockets it may have open", MetricType::Gauge,
      static_cast<double>(descriptor_limit()));
  return out;
}

}  // namespace relay
