/*
 * driver.cpp: runs a target where there is no libFuzzer: random mutations of its seeds for a given time.
 *
 *   fuzz_NAME SECONDS [SEED]     prints the seed of the generator; the same seed tries the same inputs
 *   fuzz_NAME FILE               tries the bytes of one file
 *
 * Before each try the input is kept in memory that a crash handler can write: fuzz_NAME.crash holds what crashed.
 */
#include <chrono>
#include <csignal>
#include <fstream>
#include <iterator>
#include <random>
#include <string>

#include "fuzz_target.h"

namespace dadbs::core::fuzz {
namespace {

constexpr size_t kInputBytesMax = 1u << 16;
const Bytes* current_input = nullptr;
std::string crash_file;

void SaveInput(int signal_number) {
  std::ofstream(crash_file, std::ios::binary)
      .write(reinterpret_cast<const char*>(current_input->data()), static_cast<std::streamsize>(current_input->size()));
  std::signal(signal_number, SIG_DFL);
  std::raise(signal_number);
}

class Mutator {
 public:
  explicit Mutator(uint64_t seed) : random_(seed), corpus_(Seeds()) {}

  Bytes Next() {
    Bytes input = corpus_[random_() % corpus_.size()];
    for (uint64_t n = 1 + random_() % 6; n > 0; n--) Mutate(&input);
    if (input.size() > kInputBytesMax) input.resize(kInputBytesMax);
    return input;
  }

 private:
  void Mutate(Bytes* input) {
    if (input->empty()) {
      input->push_back(static_cast<uint8_t>(random_()));
      return;
    }
    const size_t at = random_() % input->size();
    const auto here = input->begin() + static_cast<ptrdiff_t>(at);
    switch (random_() % 7) {
      case 0:
        (*input)[at] ^= static_cast<uint8_t>(1 << random_() % 8);
        break;
      case 1:
        (*input)[at] = static_cast<uint8_t>(random_());
        break;
      case 2:
        (*input)[at] = random_() % 2 ? 0 : 0xff;
        break;
      case 3:
        input->resize(at);
        break;
      case 4:
        input->insert(here, 1 + random_() % 8, static_cast<uint8_t>(random_()));
        break;
      case 5:
        input->erase(here, here + static_cast<ptrdiff_t>(std::min<size_t>(1 + random_() % 8, input->size() - at)));
        break;
      default: {  // a piece of another seed
        const Bytes& other = corpus_[random_() % corpus_.size()];
        const size_t from = random_() % other.size(), size = std::min<size_t>(random_() % 64, other.size() - from);
        input->insert(here, other.begin() + static_cast<ptrdiff_t>(from),
                      other.begin() + static_cast<ptrdiff_t>(from + size));
      }
    }
  }

  std::mt19937_64 random_;
  std::vector<Bytes> corpus_;
};

int Run(int seconds, uint64_t seed) {
  std::printf("seed %llu\n", static_cast<unsigned long long>(seed));
  std::fflush(stdout);
  for (int signal_number : {SIGABRT, SIGSEGV, SIGBUS, SIGFPE}) std::signal(signal_number, SaveInput);
  Mutator mutator(seed);
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(seconds);
  unsigned long long tries = 0;
  for (; tries % 256 != 0 || std::chrono::steady_clock::now() < end; tries++) {
    const Bytes input = mutator.Next();
    current_input = &input;
    TryInput(input);
  }
  std::printf("%llu inputs, no failure\n", tries);
  return 0;
}

}  // namespace
}  // namespace dadbs::core::fuzz

int main(int argc, char** argv) {
  namespace fuzz = dadbs::core::fuzz;
  const std::string argument = argc > 1 ? argv[1] : "20";
  if (argument.find_first_not_of("0123456789") != std::string::npos) {
    std::ifstream file(argument, std::ios::binary);
    const dadbs::core::Bytes input{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
    fuzz::TryInput(input);
    return 0;
  }
  fuzz::crash_file = std::string(argv[0]) + ".crash";
  return fuzz::Run(std::stoi(argument), argc > 2 ? std::stoull(argv[2]) : std::random_device()());
}
