// Compresses standard input to standard output ("c"), or the other way round ("d").
//
// Outside the markers are the arithmetic coder and what goes in and out; between them is the model: what a byte is predicted
// from, which matches are taken, how quickly probabilities adapt. One function codes in both directions, so that compressing
// and decompressing cannot disagree.
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <vector>

using Bytes = std::vector<uint8_t>;

// A binary arithmetic coder: `code` writes a bit, or reads it, given the probability of a 1 in 65536ths.
class Coder {
 public:
  Coder(Bytes& data, bool decoding) : decoding(decoding), data_(data) {
    for (int i = 0; decoding && i < 4; i++) code_ = code_ << 8 | next();
  }

  const bool decoding;

  int code(int bit, uint32_t probability) {
    if (probability < 1) probability = 1;
    if (probability > 65535) probability = 65535;
    const uint32_t middle = low_ + static_cast<uint32_t>(static_cast<uint64_t>(high_ - low_) * probability >> 16);
    if (decoding) bit = code_ <= middle;
    if (bit) high_ = middle; else low_ = middle + 1;
    while ((low_ ^ high_) >> 24 == 0) {
      if (decoding) code_ = code_ << 8 | next(); else data_.push_back(high_ >> 24);
      low_ <<= 8;
      high_ = high_ << 8 | 255;
    }
    return bit;
  }

  void finish() {
    for (int i = 0; i < 4; i++, low_ <<= 8) data_.push_back(low_ >> 24);
  }

 private:
  uint8_t next() { return at_ < data_.size() ? data_[at_++] : 0; }

  Bytes& data_;
  size_t at_ = 0;
  uint32_t low_ = 0, high_ = 0xFFFFFFFF, code_ = 0;
};

// EVOLVE-BLOCK-START
const int RATE = 3;             // how slowly a probability follows what it sees
const int CONTEXT_BITS = 1;     // bits of the byte before that a literal is predicted from
const int HASH_BITS = 9;        // size of the table of places that may match
const int CHAIN = 1;            // places that are tried
const int WINDOW = 1000;        // how far back a match may lie
const int MIN_MATCH = 7;        // shorter ones are not taken
const int LENGTH_BITS = 6;      // of a match's length
const int DISTANCE_CONTEXTS = 1;  // matches of so many lengths have distances of their own

struct Bit {
  uint16_t probability = 32768;
};

int code_bit(Coder& coder, Bit& bit, int value) {
  value = coder.code(value, bit.probability);
  if (value) bit.probability += (65535 - bit.probability) >> RATE;
  else bit.probability -= bit.probability >> RATE;
  return value;
}

// Codes a number of so many bits, the highest first, each predicted from those before it.
uint32_t code_number(Coder& coder, Bit* tree, int width, uint32_t value) {
  uint32_t node = 1;
  for (int i = width - 1; i >= 0; i--) node = node << 1 | code_bit(coder, tree[node], value >> i & 1);
  return node - (1u << width);
}

int bits_of(uint32_t value) {
  int count = 0;
  while (value >> count > 1) count++;
  return count;
}

struct Model {
  std::vector<Bit> literals = std::vector<Bit>(1 << (8 + CONTEXT_BITS));
  std::vector<Bit> lengths = std::vector<Bit>(1 << LENGTH_BITS);
  std::vector<Bit> distances = std::vector<Bit>(DISTANCE_CONTEXTS << 5);
  std::vector<Bit> high_bits = std::vector<Bit>(32 << 4);
  Bit is_match[4];
};

struct Match {
  int length = 0, distance = 0;
};

struct Finder {
  std::vector<int> newest = std::vector<int>(1 << HASH_BITS, -1);
  std::vector<int> older;

  uint32_t hash(const uint8_t* p) { return (p[0] | p[1] << 8 | p[2] << 16 | static_cast<uint32_t>(p[3]) << 24) * 2654435761u >> (32 - HASH_BITS); }

  Match find(const Bytes& data, int at) {
    Match best;
    const int longest = (1 << LENGTH_BITS) - 1 + MIN_MATCH;
    if (at + 4 > static_cast<int>(data.size())) return best;
    int place = newest[hash(&data[at])];
    for (int tried = 0; place >= 0 && at - place <= WINDOW && tried < CHAIN; tried++, place = older[place]) {
      int length = 0;
      while (length < longest && at + length < static_cast<int>(data.size()) && data[place + length] == data[at + length]) length++;
      if (length > best.length) best = {length, at - place};
    }
    return best;
  }

  void insert(const Bytes& data, int at) {
    older.resize(at + 1, -1);
    if (at + 4 > static_cast<int>(data.size())) return;
    int& head = newest[hash(&data[at])];
    older[at] = head;
    head = at;
  }
};

// Codes `size` bytes of `data`; decoding appends them.
void code_all(Coder& coder, Bytes& data, uint32_t size) {
  Model model;
  Finder finder;
  int history = 0;
  for (uint32_t at = 0; at < size;) {
    Match match;
    if (!coder.decoding) match = finder.find(data, at);
    const int taken = code_bit(coder, model.is_match[history & 3], match.length >= MIN_MATCH);
    history = history << 1 | taken;
    uint32_t length = 1;
    if (taken) {
      length = MIN_MATCH + code_number(coder, &model.lengths[0], LENGTH_BITS, match.length - MIN_MATCH);
      uint32_t context = length - MIN_MATCH;
      if (context >= DISTANCE_CONTEXTS) context = DISTANCE_CONTEXTS - 1;
      const uint32_t width = code_number(coder, &model.distances[context << 5], 5, bits_of(match.distance));
      uint32_t distance = 1;
      for (int i = width - 1; i >= 0; i--) {
        const int bit = match.distance >> i & 1;
        const bool high = width - i <= 3;
        distance = distance << 1 | (high ? code_bit(coder, model.high_bits[width << 4 | distance], bit) : coder.code(bit, 32768));
      }
      if (coder.decoding) for (uint32_t i = 0; i < length; i++) data.push_back(distance <= data.size() ? data[data.size() - distance] : 0);
    } else {
      const uint32_t before = at ? data[at - 1] : 0;
      Bit* tree = &model.literals[before >> (8 - CONTEXT_BITS) << 8];
      const uint32_t byte = code_number(coder, tree, 8, coder.decoding ? 0 : data[at]);
      if (coder.decoding) data.push_back(byte);
    }
    for (uint32_t i = 0; i < length; i++, at++) if (!coder.decoding) finder.insert(data, at);
  }
}
// EVOLVE-BLOCK-END

int main(int argc, char** argv) {
  Bytes input, output;
  for (int byte; (byte = getchar()) != EOF;) input.push_back(byte);
  if (argc == 2 && !strcmp(argv[1], "c")) {
    for (int i = 0; i < 4; i++) output.push_back(input.size() >> 8 * i & 255);
    Coder coder(output, false);
    code_all(coder, input, input.size());
    coder.finish();
  } else if (argc == 2 && !strcmp(argv[1], "d") && input.size() >= 4) {
    const uint32_t size = input[0] | input[1] << 8 | input[2] << 16 | static_cast<uint32_t>(input[3]) << 24;
    input.erase(input.begin(), input.begin() + 4);
    Coder coder(input, true);
    code_all(coder, output, size);
  } else {
    fprintf(stderr, "usage: program c|d < input > output\n");
    return 2;
  }
  return fwrite(output.data(), 1, output.size(), stdout) != output.size();
}
