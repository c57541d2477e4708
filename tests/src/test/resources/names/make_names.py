"""Writes train.tsv and dev.tsv: sentences with persons, places, organisations and dates, a word and its label on each line.

All sentences are made up. The dev set has sentences and names of its own beside some of the training set's sentences.
"""
import random

FIRST = """Anna Peter Maria James Linda Tomas Ingrid Carlos Fatima Yuki Olga Henrik Sofia Mehmet Claire Marco Elena Samuel
Nadia Victor Lucia Andreas Priya Daniel Hanna Igor Amara Felix Rosa Dmitri Greta Omar Paula Stefan Chen Leila Bruno Astrid
Kofi Irene Matteo Selma Oskar Ruth Tariq Wanda""".split()
LAST = """Weber Rossi Johnson Novak Garcia Tanaka Petrov Lindqvist Moreau Yilmaz Schmidt Okafor Fernandez Kowalski Bianchi
Andersen Dubois Nakamura Ivanova Keller Mendoza Larsson Haddad Costa Fischer O'Brien Patel Vogel Marino Jansen Svensson
Becker Horvath Silva Popescu Wagner Ferrari Olsen Murphy Kovac Brandt Castillo Eriksen Falk Grimaldi Hoffmann""".split()
PLACES = """Berlin,Madrid,Oslo,Lisbon,Vienna,Warsaw,Kyoto,Nairobi,Lima,Chicago,New York,San Francisco,Cape Town,Buenos Aires,
Hong Kong,Munich,Zurich,Prague,Helsinki,Toronto,Athens,Dublin,Naples,Lyon,Porto,Seville,Rio de Janeiro,New Delhi,Geneva,Boston,
Seattle,Osaka,Cairo,Accra,Santiago,Bogota,Krakow,Riga,Bergen,Graz,Tallinn,Bilbao,Salt Lake City,Montreal,Antwerp,
Addis Ababa""".replace("\n", "").split(",")
BODIES = """Siemens,Northwind Bank,Red Cross,Oxford University,Alpine Motors,Blue Harbor Shipping,European Central Bank,
Greenfield Foods,Toyota,Lumen Energy,World Health Organization,Silverline Airlines,Bosch,Delta Pharma,Harvard University,
Orchid Software,Nokia,Pioneer Steel,Unicef,Grand Opera House,Meridian Insurance,Helix Labs,Volvo,Atlas Logistics,City Museum,
Novartis,Skyward Systems,Ministry of Health,Cobalt Games,Royal Society,Baltic Timber,Sunrise Hotels,Airbus,Evergreen Bank,
Philharmonic Society,Quantum Devices,Maple Films,Iberia Wines,Ocean Institute,Granite Insurance,Ericsson,
Stanford University,Ministry of Justice,Falcon Airlines,Willow Press,National Gallery""".replace("\n", "").split(",")
MONTHS = "January February March April May June July August September October November December".split()

BOTH = """P moved from L to L in D .
In D , B opened a new office in L .
P has worked for B since D .
The board of B met P in L on D .
Nobody at B expected the news from L .
" We will stay in L , " said P , who leads B .
P and P wrote the report together .
After the storm , trains between L and L were late .
B hired P as its director on D .
The letter from P , dated D , arrived in L yesterday .
Shares of B fell sharply after D .
My neighbour P studied in L before joining B .
On D a small fire damaged the B warehouse near L .
Critics praised the concert that P gave in L .
It rained for weeks , and the harvest was poor .
The meeting was short and nobody asked a question .
According to B , visitors to L doubled between D and D .
Please send the contract to P at B before D .
The flight from L to L was cancelled twice .
P , a lawyer from L , will represent B in court .
Was it P who founded B in D ?
They married in L on D and never came back .
B said on D that it would close its factory in L .
Few people in L remember the winter of D .
When P retired , B lost its best engineer .
The exhibition opens in L on D and closes a month later .
Students of B asked P for an interview .
She left the keys on the table and walked out .
The new bridge will cost more than anyone thought .
B and B have agreed to merge by D .
Mr P told reporters that B had no plans for L .
Dr P of B found the same result in D .
Born in L , P grew up with four sisters .
The train to L leaves at noon from platform two .
Until D , the archive of B was kept in a cellar in L .
Why did P refuse the prize that B offered ?
""".strip().split("\n")

DEV = """P will speak about climate at B next week .
Doctors in L thanked B for the medicine .
Her brother P was born in L on D .
The contract between B and B ended in D .
We had dinner with P at a quiet place outside L .
Since D the mayor of L has been P .
A spokesman for B declined to comment on P .
The old harbour of L was rebuilt in D .
P bought the painting from B for a small sum .
I have not read the book yet , but the film was dull .
From L , P wrote every week to B .
In the spring of D , B sent P to L .
""".strip().split("\n")


def date(r):
    month, year, day = r.choice(MONTHS), r.randint(1950, 2025), r.randint(1, 28)
    return r.choice([f"{month} {year}", f"{day} {month} {year}", f"{month} {day} , {year}", f"{year}"]).split()


def words(r, kind, low, high):
    if kind == "PER":
        last = r.choice(LAST[low:high])
        return [r.choice(FIRST[low:high]), last] if r.random() < 0.7 else [last]
    return r.choice((PLACES if kind == "LOC" else BODIES)[low:high]).split()


def write(name, count, seed, low, high, sentences):
    r = random.Random(seed)
    kinds = {"P": "PER", "L": "LOC", "B": "ORG", "D": "DATE"}
    lines = []
    for i in range(count):
        for token in sentences[i % len(sentences)].split():
            kind = kinds.get(token)
            if kind is None:
                lines.append(token + "\tO")
            else:
                own = date(r) if kind == "DATE" else words(r, kind, low, high)
                lines += [f"{word}\t{'I' if at else 'B'}-{kind}" for at, word in enumerate(own)]
        lines.append("")
    with open(name, "w", encoding="utf-8", newline="\n") as out:
        out.write("\n".join(lines))


write("train.tsv", 432, 1, 0, 32, BOTH)
write("dev.tsv", 96, 2, 32, 46, BOTH[:20] + DEV)
