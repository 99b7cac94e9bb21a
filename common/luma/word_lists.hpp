#pragma once

// Luma's lists of words: GET …/generations/concepts/list and …/camera_motion/list.

#include "common/engine/word_list.hpp"

namespace relay::luma::word_lists {

extern const word_list concepts;
/// Of the older API, which took such words in the prompt; upstreams may not have it any more.
extern const word_list camera_motions;

}  // namespace relay::luma::word_lists
