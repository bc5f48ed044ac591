"""The set phrases: what the embedded model understands, and what it says."""

from collections.abc import Mapping

INTRODUCTION = (
    "I am the local model inside sipagent, and I know set phrases only. "
    "Ask me for the opening hours, the time, or a story."
)
GREETING = f"Hello, {INTRODUCTION}"
HELP = (
    "I understand set phrases and the keys of your telephone. "
    "You can say: what are your opening hours, what time is it, tell me a story, count to ten, repeat that, go on, "
    "or goodbye. "
    "Or press 1 for the opening hours, 2 for the time, 3 for a story, 4 to count, or 9 to say goodbye."
)
NOT_UNDERSTOOD = (
    "I am sorry, I did not understand. "
    "I am a small local model: I understand set phrases and the keys of your telephone only. "
    "Ask me what I can do, or press 0, to hear them."
)
NOT_HEARD = (
    "I can hear that you are speaking, but I did not catch a phrase I know. "
    "I understand set phrases and the keys of your telephone only. "
    "Ask me what I can do, or press 0, to hear them."
)
OPENING_HOURS = (
    "We are open from Monday to Friday, from nine in the morning to six in the evening, and on Saturday until noon."
)
GOODBYE = "Thank you for calling. Goodbye!"
IDENTITY = "I am the local model inside sipagent. I run on this very machine, without a key and without a network."
THANKS = "You are welcome. Is there anything else?"
FINE = "I am fine, thank you. How can I help you?"
STOPPED = "All right, I have stopped. What would you like instead?"
YES = "Very well. What would you like to hear?"
NO = "All right. Say goodbye when you are done."
NOTHING_SAID = "I have not said anything yet."
NOTHING_TO_CONTINUE = "I had already finished. Is there anything else?"
LOST_THREAD = "Where was I? Please ask me again."

STORY = (
    "Once upon a time, in a small town by the sea, there stood a telephone in the middle of the market square. "
    "Nobody knew who had put it there, and nobody had ever heard it ring. "
    "The fishermen hung their nets on it, and the children told it their secrets. "
    "One evening in November, when the fog lay thick on the harbour, it rang for the first time. "
    "The baker heard it, and shut his window. The mayor heard it, and sent for the policeman. "
    "But a girl named Ada, who was on her way home with a lantern, walked up to it and lifted the receiver. "
    "Hello, said a voice from far away. This is the lighthouse. My lamp has gone out, and there is a ship coming in. "
    "Ada did not ask how a lighthouse could speak. "
    "She ran up the hill, as fast as her legs would carry her, with the lantern in her hand. "
    "She climbed all of the two hundred steps, and she held her small light against the great glass. "
    "The glass caught it, and threw it far out over the water, and the ship turned just in time. "
    "In the morning the sailors came ashore, and they brought the town oranges, and pepper, "
    "and a parrot that could count to seven. "
    "Since that day the telephone is polished every Sunday, "
    "and whoever passes by it in the fog stops for a moment and listens. "
    "That is the end of the story."
)
COUNT_TO_TEN = "One. Two. Three. Four. Five. Six. Seven. Eight. Nine. Ten."
COUNT_TO_TWENTY = (
    "One. Two. Three. Four. Five. Six. Seven. Eight. Nine. Ten. "
    "Eleven. Twelve. Thirteen. Fourteen. Fifteen. Sixteen. Seventeen. Eighteen. Nineteen. Twenty."
)
LONG_TEXTS = (STORY, COUNT_TO_TWENTY, COUNT_TO_TEN, HELP, GREETING, OPENING_HOURS, IDENTITY)
"""What can be taken up again after an interruption."""

REPEATING = "I said: "
CONTINUING = "I go on. "

PHRASES: Mapping[str, str] = {
    "hello": "greet",
    "good morning": "greet",
    "good evening": "greet",
    "i need help": "help",
    "can you help me": "help",
    "what can you do": "help",
    "what can i say": "help",
    "what are your opening hours": "opening_hours",
    "when are you open": "opening_hours",
    "are you open today": "opening_hours",
    "what time is it": "time",
    "what is the time": "time",
    "tell me a story": "story",
    "tell me another story": "story",
    "count to ten": "count_to_ten",
    "count to twenty": "count_to_twenty",
    "repeat that": "repeat",
    "repeat that please": "repeat",
    "what did you say": "repeat",
    "go on": "go_on",
    "please go on": "go_on",
    "continue": "go_on",
    "who are you": "identity",
    "how are you": "fine",
    "thank you": "thanks",
    "thank you very much": "thanks",
    "wait": "stop",
    "yes": "yes",
    "yes please": "yes",
    "no": "no",
    "no thank you": "no",
    "goodbye": "goodbye",
    "bye": "goodbye",
    "please hang up": "goodbye",
}
"""What the ear listens for, and the intent of each; short words alone ("help", "stop") it mistakes for one another."""

KEYWORDS: tuple[tuple[frozenset[str], str], ...] = (
    (frozenset({"opening", "hours"}), "opening_hours"),
    (frozenset({"open"}), "opening_hours"),
    (frozenset({"what", "time"}), "time"),
    (frozenset({"story"}), "story"),
    (frozenset({"count", "twenty"}), "count_to_twenty"),
    (frozenset({"count", "20"}), "count_to_twenty"),
    (frozenset({"count"}), "count_to_ten"),
    (frozenset({"did", "you", "say"}), "repeat"),
    (frozenset({"repeat"}), "repeat"),
    (frozenset({"go", "on"}), "go_on"),
    (frozenset({"hang", "up"}), "goodbye"),
    (frozenset({"goodbye"}), "goodbye"),
    (frozenset({"bye"}), "goodbye"),
    (frozenset({"help"}), "help"),
    (frozenset({"who", "you"}), "identity"),
    (frozenset({"how", "are", "you"}), "fine"),
    (frozenset({"thanks"}), "thanks"),
    (frozenset({"thank"}), "thanks"),
    (frozenset({"stop"}), "stop"),
    (frozenset({"hello"}), "greet"),
    (frozenset({"hi"}), "greet"),
)
"""For text that is typed and free: the first set whose words are all there gives the intent."""

DIGITS: Mapping[str, str] = {
    "0": "help",
    "1": "opening_hours",
    "2": "time",
    "3": "story",
    "4": "count_to_ten",
    "5": "repeat",
    "6": "go_on",
    "9": "goodbye",
    "*": "repeat",
    "#": "goodbye",
}
"""What each key of the telephone means."""
