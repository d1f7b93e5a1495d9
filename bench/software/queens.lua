-- All ways to put eleven queens on a board: tables and recursion in a bytecode interpreter.
local size, found = 11, 0
local column, up, down = {}, {}, {}

local function place(row)
    if row > size then
        found = found + 1
        return
    end
    for i = 1, size do
        if not column[i] and not up[row + i] and not down[row - i + size] then
            column[i], up[row + i], down[row - i + size] = true, true, true
            place(row + 1)
            column[i], up[row + i], down[row - i + size] = nil, nil, nil
        end
    end
end

place(1)
print(found)
