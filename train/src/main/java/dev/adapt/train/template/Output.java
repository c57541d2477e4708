package dev.adapt.train.template;

/** A text in the making, within the budget. */
final class Output {
    private final StringBuilder text = new StringBuilder();
    private final Budget budget;

    Output(Budget budget) {
        this.budget = budget;
    }

    Output append(String more) {
        budget.write(more.length(), (long) text.length() + more.length());
        text.append(more);
        return this;
    }

    /** Appends one character. */
    Output append(int codePoint) {
        budget.write(1, text.length() + 1L);
        text.appendCodePoint(codePoint);
        return this;
    }

    Output repeat(String more, long times) {
        long added = more.length() * Math.max(0, times);
        budget.write(added, text.length() + added);
        text.repeat(more, (int) Math.max(0, more.isEmpty() ? 0 : times));
        return this;
    }

    String text() {
        return text.toString();
    }
}
