#pragma once

// A store without a disk that answers every read one loop turn later and hands out nothing at once: whatever
// relies on reads that are answered at once fails with it. What a path holds outlives the store, within the
// process.

#include "common/engine/family.hpp"
#include "storage/store.hpp"

namespace relay::test {

/// `path` names what is kept.
std::unique_ptr<store> open_memory_store(const std::string& path, store_hooks hooks);
/// What it holds is gone, once no store has it any more.
void forget_memory_store(const std::string& path);

}  // namespace relay::test
