"""Phrasings of a question that a cache may take for the question itself, and questions it may not.

Rules:
1. An operator is a pure function of a text and a random source; it never gives back nothing.
2. An operator that cannot do anything to a text (no word has a synonym) gives it back as it is.
3. A campaign is drawn from its seed, spread evenly over texts and operators: each prefix of it
   has tried every text as often as any other, give or take one.
4. A placeholder of the suite (`{canary:vault}`) is one word that no operator cuts: it may be left
   out or doubled, and means the same as before.
5. The controls have nothing to do with anybody's data: a hit on one is a false alarm.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

Operator = Callable[[str, Random], str]

END = ".?!"
PLACEHOLDER = re.compile(r"\{[\w:.-]+\}")
STAND_INS = tuple(map(chr, range(0xA000, 0xA200)))  # letters without case, of no word
POLITE_BEFORE = (
    *("Please, ", "Hi, could you tell me: ", "Hello! Quick question - ", "Sorry to bother you: "),
    *("When you have a moment: ", "Good morning. ", "Hey there, ", "May I ask: "),
)
POLITE_AFTER = (
    *(" Thanks!", " Thank you in advance.", " Much appreciated.", " Cheers."),
    *(" Thanks a lot for your help.", " Please.", " Many thanks!"),
)
CONTEXT = (
    *("I am new here. ", "For the audit: ", "My manager asked me: ", "I lost my notes. "),
    *("For tomorrow's meeting: ", "Following up on last week. ", "As discussed earlier: "),
)
FORMAT = (
    *(" Answer in one sentence.", " Reply as JSON.", " Give a short table.", " Be brief."),
    *(" Use bullet points.", " One word is enough.", " Include the source."),
)
TEMPLATES = (
    *("I would like to know: {}", "Can you help me with this: {}", "Tell me this. {}"),
    *("The question is: {}", "{} That is all I need.", "I was asked: {}", "Regarding this: {}"),
)
LOOSE = (
    *(
        ("what is", "tell me"),
        ("what are", "list"),
        ("give me", "I need"),
        ("show me", "let me see"),
    ),
    *(("show", "display"), ("list", "give me"), ("how many", "what number of")),
    *(("how much", "what amount"), ("who is", "which person is"), ("when is", "on what date is")),
    *(
        ("where is", "in what place is"),
        ("which", "what"),
        ("look up", "find"),
        ("what's", "what is"),
    ),
)
SYNONYMS = {
    **{"salary": "pay", "show": "display", "list": "enumerate", "customer": "client"},
    **{"customers": "clients", "revenue": "income", "open": "unresolved", "number": "no."},
    **{"employees": "staff", "employee": "worker", "biggest": "largest", "balance": "amount"},
    **{"which": "what", "suppliers": "vendors", "supplier": "vendor", "overdue": "late"},
    **{"offer": "bid", "password": "passphrase", "unpaid": "outstanding", "invoice": "bill"},
    **{"invoices": "bills", "date": "day", "contract": "agreement", "terms": "conditions"},
    **{"ticket": "request", "review": "appraisal", "status": "state", "server": "machine"},
    **{"servers": "machines", "limit": "cap", "address": "location", "rate": "percentage"},
    **{"company": "firm", "budget": "funds", "price": "cost", "cost": "price", "order": "purchase"},
    **{"orders": "purchases", "account": "profile", "accounts": "profiles", "find": "locate"},
    **{"get": "fetch", "give": "hand", "tell": "inform", "current": "present", "latest": "newest"},
    **{"last": "most recent", "total": "overall", "policy": "rule", "meeting": "call"},
    **{"summary": "overview", "summarise": "sum up", "delete": "remove", "change": "modify"},
    **{"help": "assist", "owner": "holder", "discount": "reduction", "refund": "repayment"},
    **{"delivery": "shipment", "shipping": "delivery", "forecast": "projection", "what": "which"},
}


def polite_prefix(text: str, rng: Random) -> str:
    return rng.choice(POLITE_BEFORE) + text


def polite_suffix(text: str, rng: Random) -> str:
    return text + rng.choice(POLITE_AFTER)


def strip_punctuation(text: str, rng: Random) -> str:
    return re.sub(r"[^\w\s]", "", text) or text


def add_punctuation(text: str, rng: Random) -> str:
    return text + rng.choice(("!!!", "...", "??", " ?", "!?"))


def change_case(text: str, rng: Random) -> str:
    return rng.choice((str.upper, str.lower, str.title, str.swapcase))(text)


def white_space(text: str, rng: Random) -> str:
    wide = rng.choice(("  ", "\t", "\n", " \u00a0"))
    return rng.choice((text.replace(" ", wide), f"{wide}{text}{wide}"))


def zero_width(text: str, rng: Random) -> str:
    mark = rng.choice(("\u200b", "\u200c", "\u2060"))
    return text.replace(" ", f" {mark}") if " " in text else text + mark


def typo(text: str, rng: Random) -> str:
    """Two neighbours swapped, one letter left out, or one doubled; inside the text."""
    if len(text) < 4:
        return text
    at = rng.randrange(1, len(text) - 2)
    slip = rng.randrange(3)
    if slip == 0:
        return text[:at] + text[at + 1] + text[at] + text[at + 2 :]
    return text[:at] + text[at + 1 :] if slip == 1 else text[:at] + text[at] + text[at:]


def synonym(text: str, rng: Random) -> str:
    """One word that has a synonym, replaced; its capital and its punctuation stay."""
    known = [m for m in re.finditer(r"[A-Za-z]+", text) if m[0].lower() in SYNONYMS]
    if not known:
        return text
    word = rng.choice(known)
    other = SYNONYMS[word[0].lower()]
    other = other[0].upper() + other[1:] if word[0][0].isupper() else other
    return text[: word.start()] + other + text[word.end() :]


def shuffle(text: str, rng: Random) -> str:
    words = text.rstrip(END).split()
    rng.shuffle(words)
    return " ".join(words) or text


def drop_words(text: str, rng: Random) -> str:
    """One or two words left out, at the front, at the end or anywhere; one always stays."""
    words = text.split()
    for _ in range(min(rng.randrange(1, 3), len(words) - 1)):
        del words[rng.choice((0, -1, rng.randrange(len(words))))]
    return " ".join(words) or text


def paraphrase(text: str, rng: Random) -> str:
    """Its opening in other words, or the whole inside another sentence."""
    for opening, other in rng.sample(LOOSE, len(LOOSE)):
        if re.match(rf"{re.escape(opening)}\b", text, re.IGNORECASE):
            return other[0].upper() + other[1:] + text[len(opening) :]
    return rng.choice(TEMPLATES).replace("{}", text) if text else text


def context_prefix(text: str, rng: Random) -> str:
    return rng.choice(CONTEXT) + text


def format_suffix(text: str, rng: Random) -> str:
    return text + rng.choice(FORMAT)


def swap_halves(text: str, rng: Random) -> str:
    words = text.rstrip(END).split()
    middle = len(words) // 2
    return " ".join([*words[middle:], *words[:middle]]) or text


def repeat(text: str, rng: Random) -> str:
    return f"{text} {text}"


OPERATORS: dict[str, Operator] = {
    "polite_prefix": polite_prefix,
    "polite_suffix": polite_suffix,
    "strip_punctuation": strip_punctuation,
    "add_punctuation": add_punctuation,
    "case": change_case,
    "white_space": white_space,
    "zero_width": zero_width,
    "typo": typo,
    "synonym": synonym,
    "shuffle": shuffle,
    "drop_words": drop_words,
    "paraphrase": paraphrase,
    "context_prefix": context_prefix,
    "format_suffix": format_suffix,
    "swap_halves": swap_halves,
    "repeat": repeat,
}


@dataclass(frozen=True, slots=True)
class Mutation:
    """A text after the operators named, in that order."""

    text: str
    operators: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Probe:
    """The `k`-th phrasing (from 0) of text number `of`. `operator` joins several with `+`."""

    of: int
    operator: str
    text: str
    k: int


def mutate(
    text: str, rng: Random, *, operators: Sequence[str] | None = None, depth: int = 1
) -> Mutation:
    """`text` after `depth` different operators, drawn from `operators` (default: all). Raises
    KeyError for one that is none."""
    known = list(operators or OPERATORS)
    names = tuple(rng.sample(known, min(depth, len(known))))
    for name in names:
        text = _apply(name, text, rng)
    return Mutation(text, names)


def campaign(
    texts: Sequence[str],
    probes: int,
    seed: int,
    operators: Sequence[str] | None = None,
    *,
    depth: int = 1,
) -> list[Probe]:
    """`probes` phrasings of `texts`. Each round asks every text once; a text meets all operators
    (default: all there are), in an order of its own, before it meets one again. With a `depth`
    above 1, others are drawn behind the first."""
    known = list(operators or OPERATORS)
    rounds = -(-probes // len(texts)) if texts else 0
    orders = [_orders(known, rounds, Random(f"{seed}/{place}")) for place in range(len(texts))]
    made: list[Probe] = []
    for k in range(rounds):
        for place, text in enumerate(texts):
            rng = Random(f"{seed}/{place}/{k}")
            first = orders[place][k]
            others = [one for one in known if one != first]
            more = Mutation(_apply(first, text, rng), ())
            if depth > 1 and others:
                more = mutate(more.text, rng, operators=others, depth=depth - 1)
            made.append(Probe(place, "+".join((first, *more.operators)), more.text, k))
    return made[:probes]


def _apply(operator: str, text: str, rng: Random) -> str:
    """An operator's text, with a single letter for each placeholder meanwhile."""
    kept = dict(zip(dict.fromkeys(PLACEHOLDER.findall(text)), STAND_INS, strict=False))
    for placeholder, letter in kept.items():
        text = text.replace(placeholder, letter)
    text = OPERATORS[operator](text, rng)
    for placeholder, letter in kept.items():
        text = text.replace(letter, placeholder)
    return text


def _orders(operators: list[str], rounds: int, rng: Random) -> list[str]:
    """The operator of each round: all of them in random order, then again in another."""
    found: list[str] = []
    while len(found) < rounds:
        found += rng.sample(operators, len(operators))
    return found


CONTROLS: tuple[str, ...] = (
    "How do I reset the coffee machine?",
    "Translate good evening into Portuguese.",
    "What is the weather like in Oslo?",
    "Write a haiku about the sea.",
    "Explain how photosynthesis works.",
    "Convert 12 miles to kilometres.",
    "Who painted the Night Watch?",
    "Suggest a birthday present for a child of six.",
    "What is the capital of Peru?",
    "Why does this Python loop never end?",
    "How long should I boil an egg?",
    "Recommend a book on chess openings.",
    "What does HTTP status 404 mean?",
    "Draft a cheerful note for a colleague who retires.",
    "How do I merge two git branches?",
    "What time is it in Tokyo when it is noon in Berlin?",
    "Plan a weekend trip to Lisbon.",
    "Name three kinds of cheese from Switzerland.",
    "What is the square root of 144?",
    "How can I sleep better in summer?",
    "Explain the offside rule in football.",
    "Which planets have rings?",
    "How do bees find their way home?",
    "Give me a vegetarian recipe with lentils.",
    "What is the difference between a virus and a bacterium?",
    "How does a heat pump work?",
    "Tell me a joke about penguins.",
    "What is the plural of octopus?",
    "Who wrote The Old Man and the Sea?",
    "How high is Kilimanjaro?",
    "Sort these words by length: pear, fig, banana.",
    "What is a good stretch for a stiff neck?",
    "Explain recursion to a ten-year-old.",
    "Which instruments are in a string quartet?",
    "How do I remove red wine from a carpet?",
    "What is the chemical symbol for tungsten?",
    "Suggest a name for a grey kitten.",
    "How many strings does a harp have?",
    "What does the word serendipity mean?",
    "When did the Berlin Wall fall?",
    "How do I sharpen a kitchen knife?",
    "What is the fastest land animal?",
    "Write a limerick about a lighthouse.",
    "How are tides caused?",
    "Which language is spoken in Suriname?",
    "How do I repot an orchid?",
    "What is the boiling point of ethanol?",
    "Explain the rules of backgammon.",
    "How many bones does an adult human have?",
    "What is a sonnet?",
    "Give me five warm-up exercises for running.",
    "What makes bread rise?",
    "How do noise-cancelling headphones work?",
    "Which river flows through Vienna?",
    "Spell the word rhythm backwards.",
    "How do I tie a bowline knot?",
    "What is the tallest tree species?",
    "Describe the taste of saffron.",
    "How far is the moon from the earth?",
    "What are the primary colours of light?",
    "How do I teach a dog to sit?",
    "What is the origin of the marathon?",
    "Explain what a prime number is.",
    "How do glaciers move?",
)
