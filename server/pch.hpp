// What most of server/ includes: precompiled once.
#include <spdlog/logger.h>

#include <deque>
#include <map>
#include <unordered_map>
#include <unordered_set>

#include "common/engine/explain.hpp"
#include "common/engine/outcome.hpp"
#include "common/engine/protocol.hpp"
#include "common/engine/submit_lane.hpp"
#include "common/engine/submit_queues.hpp"
#include "server/http/message.hpp"
#include "server/http/pch.hpp"
#include "storage/store.hpp"
