"""What the shared services cost, and what the default embedding takes for the same question.

    python benchmarks/bench_services.py [operations]

Prints, from one run on this machine:
- CPU of the rig's process per operation over `POST /t/<token>/services/...`, the best round;
- a campaign of 2,000 probes against a semantic cache of 1,000 entries, embedding included, and the
  same with dense vectors of 256 numbers;
- by mutation operator, the share of probes that hit the entry they were made from, at four
  thresholds, beside the mean cosine; and the same for unrelated queries.
"""

from __future__ import annotations

import asyncio
import random
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import fmean

import aiohttp
import psutil
import uvloop
from aiohttp import web

from proofrig.authority.authority import recover
from proofrig.gateways.asked import AskedCalls
from proofrig.gateways.gateway import Binding, Bindings, Context
from proofrig.gateways.service_action import ServiceCalls
from proofrig.gateways.services import ServicesGateway
from proofrig.gateways.upstream import open_client
from proofrig.history.journal import Journal
from proofrig.services.embedding import HashedEmbedding, similarity
from proofrig.services.kv import KvSettings
from proofrig.services.members import make_service
from proofrig.services.quota import QuotaSettings
from proofrig.services.semantic_cache import CacheSettings
from proofrig.services.service import Caller, Done, Service
from proofrig.services.vectors import DenseIndex

OPERATIONS = int(sys.argv[1]) if len(sys.argv) > 1 and sys.argv[1].isdigit() else 3000
ROUNDS = 3
TOKEN = "bench-token-0123456789"
THRESHOLDS = (0.80, 0.85, 0.90, 0.95)

QUERIES = """\
What is the salary of our CFO?
List the customers whose contracts expire next quarter.
What was our revenue in the second quarter?
Show the open security incidents for our account.
What is the bank account number we use for payroll?
Who are the patients scheduled for surgery tomorrow?
What is the diagnosis of patient John Miller?
Give me the API key for our staging environment.
How many employees are going to be laid off in March?
What discount did we offer to our biggest customer?
Summarise the board meeting minutes from last week.
What is the balance of my checking account?
Which suppliers are overdue on delivery?
What is our merger offer for the Berlin company?
Show the medical leave requests of my team.
What is the root password of the database server?
List all unpaid invoices above ten thousand dollars.
What is the home address of employee Dana Scott?
When is our product launch date?
What are the terms of our contract with Northwind?
How many support tickets did we get yesterday?
What is the gross margin of our premium plan?
Show me the performance review of Alice Chen.
What is the status of our patent application?
Which servers are vulnerable to the latest exploit?
What is the credit limit on the company card?
Who approved the wire transfer on Friday?
What are the side effects reported in our trial?
Give me the email addresses of all our subscribers.
What is the shipping address for order 48213?
""".splitlines()

UNRELATED = """\
How do I reset the coffee machine?
Translate hello into French.
What is the weather like in Oslo?
Write a haiku about the sea.
Explain how photosynthesis works.
Convert 12 miles to kilometres.
What is the capital of Peru?
Fix this Python syntax error.
How long should I boil an egg?
Recommend a book on chess.
What does HTTP 404 mean?
How do I merge two git branches?
What time is it in Tokyo?
Name three kinds of cheese.
How many vacation days do I have left?
Which meeting rooms are free this afternoon?
How do I submit an expense report?
When is the next company holiday?
What is our refund policy?
How do I change my password?
""".splitlines()

SYNONYMS = {
    **{"salary": "pay", "list": "enumerate", "show": "display", "customers": "clients"},
    **{"expire": "lapse", "revenue": "income", "open": "unresolved", "patients": "people"},
    **{"number": "no", "scheduled": "booked", "diagnosis": "condition", "give": "hand"},
    **{"employees": "staff", "biggest": "largest", "summarise": "recap", "balance": "amount"},
    **{"suppliers": "vendors", "overdue": "late", "offer": "bid", "requests": "applications"},
    **{"password": "passphrase", "unpaid": "outstanding", "invoices": "bills", "date": "day"},
    **{"terms": "conditions", "tickets": "requests", "review": "appraisal", "status": "state"},
    **{"servers": "machines", "limit": "cap", "approved": "authorised", "trial": "study"},
    **{"address": "location", "addresses": "contacts", "premium": "deluxe", "contract": "deal"},
}


def synonyms(query: str, count: int, chance: random.Random) -> str:
    words = query.split()
    able = [at for at, word in enumerate(words) if word.strip(".?,").lower() in SYNONYMS]
    for at in chance.sample(able, min(count, len(able))):
        words[at] = SYNONYMS[words[at].strip(".?,").lower()]
    return " ".join(words)


def typos(query: str, count: int, chance: random.Random) -> str:
    letters = list(query)
    for _ in range(count):
        at = chance.randrange(1, len(letters) - 2)
        how = chance.randrange(3)
        if how == 0:
            letters[at], letters[at + 1] = letters[at + 1], letters[at]
        elif how == 1:
            del letters[at]
        else:
            letters.insert(at, letters[at])
    return "".join(letters)


def halves(query: str) -> str:
    words = query.rstrip("?.").split()
    return " ".join(words[len(words) // 2 :] + words[: len(words) // 2])


def shuffled(query: str, chance: random.Random) -> str:
    words = query.rstrip("?.").split()
    chance.shuffle(words)
    return " ".join(words)


POLITE = ("Please, ", "Hi, could you tell me: ", "Hello! Quick question - ")
THANKS = (" Thanks!", " Thank you in advance.", " Much appreciated.")
FORMAT = (" Answer in one sentence.", " Reply as JSON.", " Give a short table.")
CONTEXT = ("I am new here. ", "For the audit: ", "My manager asked me: ")
Mutate = Callable[[str, random.Random], str]
OPERATORS: dict[str, Mutate] = {
    "case": lambda q, r: q.upper(),
    "double space": lambda q, r: q.replace(" ", "  "),
    "zero-width": lambda q, r: q.replace(" ", " \u200b"),
    "no punctuation": lambda q, r: re.sub(r"[^\w\s]", "", q),
    "more punctuation": lambda q, r: q + "!!!",
    "polite prefix": lambda q, r: r.choice(POLITE) + q,
    "polite suffix": lambda q, r: q + r.choice(THANKS),
    "repeat": lambda q, r: f"{q} {q}",
    "swap halves": lambda q, r: halves(q),
    "synonym x1": lambda q, r: synonyms(q, 1, r),
    "synonym x2": lambda q, r: synonyms(q, 2, r),
    "format suffix": lambda q, r: q + r.choice(FORMAT),
    "context prefix": lambda q, r: r.choice(CONTEXT) + q,
    "drop first two": lambda q, r: " ".join(q.split()[2:]),
    "drop last": lambda q, r: " ".join(q.split()[:-1]),
    "drop last three": lambda q, r: " ".join(q.split()[:-3]),
    "shuffle": lambda q, r: shuffled(q, r),
    "typo x1": lambda q, r: typos(q, 1, r),
    "typo x3": lambda q, r: typos(q, 3, r),
    "leet": lambda q, r: q.translate(str.maketrans("aeios", "@310$")),
}


def print_operators() -> None:
    chance, embedding = random.Random(7), HashedEmbedding()
    entries = embedding.embed(QUERIES)
    print(f"{'operator':<18}" + "".join(f"{one:>7.2f}" for one in THRESHOLDS) + "   cosine")
    for name, mutate in OPERATORS.items():
        found: list[float] = []
        for _ in range(4):
            probes = embedding.embed([mutate(query, chance) for query in QUERIES])
            found += [similarity(one, other) for one, other in zip(probes, entries, strict=True)]
        shares = "".join(f"{share(found, one):>6.0f}%" for one in THRESHOLDS)
        print(f"{name:<18}{shares}   {fmean(found):.3f}, least {min(found):.3f}")
    strange = embedding.embed(UNRELATED)
    most = [max(similarity(one, entry) for entry in entries) for one in strange]
    shares = "".join(f"{share(most, one):>6.0f}%" for one in THRESHOLDS)
    print(f"{'unrelated':<18}{shares}   most {max(most):.3f}")


def share(found: list[float], threshold: float) -> float:
    return 100 * sum(one >= threshold for one in found) / len(found)


def texts(count: int) -> list[str]:
    """Different queries about different things, as long as real ones."""
    chance = random.Random(3)
    things = [f"{chance.choice('bcdfglmnprst')}{chance.randrange(1000)}" for _ in range(count)]
    return [f"{QUERIES[at % len(QUERIES)]} Case {thing}." for at, thing in enumerate(things)]


def do(service: Service, operation: str, **arguments: object) -> Done:
    done = service.apply(service.ask(Caller("case:0", "acme"), operation, arguments))
    assert isinstance(done, Done)
    return done


def print_campaign() -> None:
    chance, queries = random.Random(5), texts(1000)
    settings = CacheSettings(type="semantic_cache", name="answers", max_entries=1000)
    cache = make_service(settings, time.monotonic_ns, 1)
    begun = time.process_time()
    for query in queries:
        do(cache, "put", query=query, answer="yes")
    filled = time.process_time()
    names = [name for name in OPERATORS if name != "leet"]
    hits = 0
    for at in range(2000):
        probe = OPERATORS[chance.choice(names)](queries[at % 1000], chance)
        hits += do(cache, "get", query=probe).attrs["hit"]
    ended = time.process_time()
    print(f"semantic cache: 1,000 puts in {filled - begun:.2f} s CPU")
    print(f"  2,000 probes x 1,000 entries in {ended - filled:.2f} s CPU, {hits} hits")
    index = DenseIndex()
    for number in range(1000):
        index.add(number, [chance.random() for _ in range(256)])
    begun = time.process_time()
    for _ in range(50):
        index.nearest([chance.random() for _ in range(256)])
    each = (time.process_time() - begun) / 50
    print(f"  dense, 256 numbers: {each * 1e3:.1f} ms a probe, {each * 2000:.1f} s for 2,000")


async def serve_rig(folder: Path) -> None:
    """The rig's process: prints its port, serves until its input ends."""
    async with open_client() as client:
        context = Context(
            journal=Journal(folder, "rig", time.monotonic_ns),
            authority=recover(folder / "ledger.db", time.time_ns),
            bindings=Bindings(),
            asked=AskedCalls(),
            client=client,
            clock=time.monotonic_ns,
        )
        context.bindings.add(Binding(TOKEN, "case:0", "acme", "acme/flow/agent/run"))
        entries = {"acme": [{"query": query, "answer": "yes"} for query in texts(1000)]}
        settings = [
            KvSettings(type="kv", name="memory"),
            QuotaSettings(type="quota", name="search", capacity=1 << 40),
            CacheSettings.model_validate(
                {"type": "semantic_cache", "name": "answers", "seed": entries}
            ),
        ]
        services = {one.name: make_service(one, time.monotonic_ns, 1) for one in settings}
        rig = web.Application()
        rig.add_routes(ServicesGateway(context, ServiceCalls(context, services)).routes())
        runner = web.AppRunner(rig, access_log=None, handler_cancellation=True)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        print(runner.addresses[0][1], flush=True)
        await asyncio.to_thread(sys.stdin.read)
        await runner.cleanup()


async def flood(client: aiohttp.ClientSession, url: str, body: Callable[[int], bytes]) -> None:
    """OPERATIONS requests over 50 connections."""
    left = iter(range(OPERATIONS))

    async def worker() -> None:
        for number in left:
            async with client.post(url, data=body(number)) as answer:
                await answer.read()
                assert answer.status == 200

    await asyncio.gather(*(worker() for _ in range(50)))


async def measure(rig: psutil.Process, port: int) -> None:
    base = f"http://127.0.0.1:{port}/t/{TOKEN}/services"
    work: dict[str, Callable[[int], bytes]] = {
        "memory/put": lambda n: b'{"key":"k%d","value":"v%d"}' % (n % 100, n),
        "memory/get": lambda n: b'{"key":"k%d"}' % (n % 100),
        "search/take": lambda n: b"{}",
        "answers/get": lambda n: b'{"query":"What is the salary of our CFO, number %d?"}' % n,
    }
    async with open_client() as client:
        for name, body in work.items():
            costs = []
            for _ in range(ROUNDS):
                before = rig.cpu_times()
                await flood(client, f"{base}/{name}", body)
                after = rig.cpu_times()
                spent = after.user - before.user + after.system - before.system
                costs.append(spent / OPERATIONS * 1e3)
            print(f"{name:<14}{min(costs):7.3f} ms CPU an operation")


def main() -> None:
    print_operators()
    print_campaign()
    with tempfile.TemporaryDirectory() as folder:
        process = subprocess.Popen(
            [sys.executable, __file__, "rig", folder],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdin is not None and process.stdout is not None
        port = int(process.stdout.readline())
        uvloop.run(measure(psutil.Process(process.pid), port))
        process.stdin.close()
        process.wait()


if __name__ == "__main__":
    if sys.argv[1:2] == ["rig"]:
        uvloop.run(serve_rig(Path(sys.argv[2])))
    else:
        main()
